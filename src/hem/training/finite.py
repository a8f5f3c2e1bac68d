"""Numbers that are not numbers: found in the iteration that made them, and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import UserError, WorldError
from hem.types import Episodes, Metrics

FLOW = ("observation", "achieved goal", "desired goal", "action")  # and then what is learnt
ADVICE = "Lower the learning rate, or check what the environment returns"


def non_finite(episodes: Episodes, agent_state: Any, metrics: Metrics) -> dict[str, jax.Array]:
    """For each array by name, whether it holds a NaN or an infinity; pure, bool scalars."""
    data = (episodes.obs, episodes.achieved, episodes.goal, episodes.action)
    named = dict(zip(FLOW, data, strict=True)) | metrics
    leaves, _ = jax.tree_util.tree_flatten_with_path(agent_state)
    named |= {f"learner{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}
    return {
        name: ~jnp.all(jnp.isfinite(x))
        for name, x in named.items()
        if jnp.issubdtype(x.dtype, jnp.inexact)
    }


def check(found: dict[str, Any], world: str, iteration: int) -> None:
    """Stop training at the first array that is not finite, in the order in which data flow.

    Raises:
        UserError: naming the array, the world and the iteration.
    """
    name = first(found)
    if name is not None:
        raise UserError(
            f"NaN or infinity in the {name} array of {world} in iteration {iteration}: training "
            f"stopped before it was saved; the last checkpoint is good. {ADVICE}"
        )


def check_evaluation(found: dict[str, Any], world: str) -> None:
    """Refuse an evaluation in which an array is not finite: it would count as failures.

    Raises:
        WorldError: naming the array and the world.
    """
    name = first(found)
    if name is not None:
        raise WorldError(
            f"NaN or infinity in the {name} array of {world} in an evaluation, which therefore "
            f"says nothing. {ADVICE}"
        )


def check_seeds(found: dict[str, Any], world: str, seeds: Sequence[int], iteration: int) -> None:
    """Stop where a seed has diverged, like ``check``; each of ``found`` is bool[S, iterations].

    Args:
        found: by name, whether the array is not finite.
        world: its name.
        seeds: S of them.
        iteration: the number of the first.

    Raises:
        UserError: naming the seeds, and the array and iteration of the first.
    """
    flags = {name: np.asarray(is_bad) for name, is_bad in found.items()}
    diverged = np.any(list(flags.values()), axis=0)  # bool[S, iterations]
    if diverged.any():
        rows = np.flatnonzero(diverged.any(axis=1)).tolist()
        when = int(np.argmax(diverged[rows[0]]))
        name = first({name: flag[rows[0], when] for name, flag in flags.items()})
        raise UserError(
            f"NaN or infinity with seed {', '.join(str(seeds[row]) for row in rows)}, first in the "
            f"{name} array of {world} in iteration {iteration + when}. {ADVICE}"
        )


def first(found: dict[str, Any]) -> str | None:
    """The name of the first array that is not finite, in the order in which data flow."""
    bad = [name for name, is_bad in found.items() if np.asarray(is_bad)]
    return min(bad, key=_place, default=None)


def _place(name: str) -> int:
    """Where an array comes in the flow of data; compiled code returns dicts sorted by name."""
    if name in FLOW:
        return FLOW.index(name)
    return len(FLOW) + name.startswith("learner")
