"""Numbers that are not numbers: found in the iteration that made them, and named."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import UserError
from hem.types import Episodes, Metrics

FLOW = ("observation", "achieved goal", "desired goal", "action")  # and then what is learnt


def non_finite(episodes: Episodes, learner: Any, metrics: Metrics) -> dict[str, jax.Array]:
    """For each array by name, whether it holds a NaN or an infinity; pure, bool scalars."""
    data = (episodes.obs, episodes.achieved, episodes.goal, episodes.action)
    named = dict(zip(FLOW, data, strict=True)) | metrics
    leaves, _ = jax.tree_util.tree_flatten_with_path(learner)
    named |= {f"learner{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}
    return {
        name: ~jnp.all(jnp.isfinite(x))
        for name, x in named.items()
        if jnp.issubdtype(x.dtype, jnp.inexact)
    }


def check(found: dict[str, Any], world: str, iteration: int) -> None:
    """Stop at the first array that is not finite, in the order in which data flow.

    Raises:
        UserError: naming the array, the world and the iteration.
    """
    bad = [name for name, is_bad in found.items() if np.asarray(is_bad)]
    if bad:
        first = min(bad, key=_place)
        raise UserError(
            f"NaN or infinity in the {first} array of {world} in iteration {iteration}: training "
            "stopped before it was saved; the last checkpoint is good. Lower the learning rate, "
            "or check what the environment returns"
        )


def _place(name: str) -> int:
    """Where an array comes in the flow of data; compiled code returns dicts sorted by name."""
    if name in FLOW:
        return FLOW.index(name)
    return len(FLOW) + name.startswith("learner")
