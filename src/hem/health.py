"""Numbers that are not numbers: found in the iteration that made them, and named."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import UserError
from hem.types import Episodes, Metrics


def non_finite(episodes: Episodes, learner: Any, metrics: Metrics) -> dict[str, jax.Array]:
    """For each array by name, whether it holds a NaN or an infinity; pure, bool scalars."""
    named = {
        "observation": episodes.obs,
        "achieved goal": episodes.achieved,
        "desired goal": episodes.goal,
        "action": episodes.action,
        **metrics,
    }
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
        raise UserError(
            f"NaN or infinity in the {bad[0]} array of {world} in iteration {iteration}: training "
            "stopped before it was saved; the last checkpoint is good. Lower the learning rate, "
            "or check what the environment returns"
        )
