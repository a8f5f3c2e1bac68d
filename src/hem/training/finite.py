"""NaN and infinity: found in the iteration that produced them, and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import EnvError, UserError
from hem.types import Episodes, Metrics

FLOW = ("observation", "achieved goal", "desired goal", "action")  # followed by what is learned
ADVICE = "Lower the learning rate, or check what the environment returns"


def non_finite(episodes: Episodes, agent_state: Any, metrics: Metrics) -> dict[str, jax.Array]:
    """For each array by name, whether it contains NaN or infinity; pure, bool scalars."""
    data = (episodes.obs, episodes.achieved, episodes.goal, episodes.action)
    named = dict(zip(FLOW, data, strict=True)) | metrics
    leaves, _ = jax.tree_util.tree_flatten_with_path(agent_state)
    named |= {f"learner{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}
    return {
        name: ~jnp.all(jnp.isfinite(x))
        for name, x in named.items()
        if jnp.issubdtype(x.dtype, jnp.inexact)
    }


def check(found: dict[str, Any], env: str, iteration: int) -> None:
    """Stop training at the first array that is not finite, in order of the data flow.

    Raises:
        UserError: naming the array, the environment and the iteration.
    """
    name = first(found)
    if name is not None:
        raise UserError(
            f"NaN or infinity in the {name} array of {env} in iteration {iteration}: training "
            f"stopped before saving it; the last checkpoint is intact. {ADVICE}"
        )


def check_episodes(found: dict[str, Any], env: str) -> None:
    """Reject episodes in which an array is not finite: in an evaluation, they would be failures.

    Raises:
        EnvError: naming the array and the environment.
    """
    name = first(found)
    if name is not None:
        raise EnvError(
            f"NaN or infinity in the {name} array of {env} in episodes that are not for training, "
            f"and therefore invalid. {ADVICE}"
        )


def check_seeds(found: dict[str, Any], env: str, seeds: Sequence[int], iteration: int) -> None:
    """Stop if a seed has diverged, like ``check``; each of ``found`` is bool[S, iterations].

    Args:
        found: by name, whether the array is not finite.
        env: the environment's name.
        seeds: the S seeds.
        iteration: number of the first iteration.

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
            f"{name} array of {env} in iteration {iteration + when}. {ADVICE}"
        )


def first(found: dict[str, Any]) -> str | None:
    """The name of the first array that is not finite, in order of the data flow."""
    bad = [name for name, is_bad in found.items() if np.asarray(is_bad)]
    return min(bad, key=_place, default=None)


def _place(name: str) -> int:
    """An array's place in the data flow; compiled code returns dicts sorted by name."""
    if name in FLOW:
        return FLOW.index(name)
    return len(FLOW) + name.startswith("learner")
