"""The evaluation protocol.

The policy without exploration, on fresh episodes whose seeds never occur in training. An episode
always runs to the horizon, and success is reported at any step (which ends an episode in training)
and at the last step (whether the policy stays), with a 95% interval. Episodes of length 0, whose
environment was lost, are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import require
from hem.system.collectives import total
from hem.types import Array, Episodes, Task


class Outcome(NamedTuple):
    """The outcomes of N episodes."""

    success: Array  # bool[N]        the goal was achieved after some step
    final_success: Array  # bool[N]  and after the last step
    steps: Array  # i32[N]           steps until the goal was first achieved, or the length; 0: lost


def outcome(task: Task, episodes: Episodes) -> Outcome:
    """Judge episodes by their achieved goals alone; pure."""
    taken = jnp.arange(1, episodes.achieved.shape[1])
    length = jnp.asarray(episodes.length)
    goal = jnp.expand_dims(jnp.asarray(episodes.goal), 1)
    reached = task.success(jnp.asarray(episodes.achieved)[:, 1:], goal)
    reached &= taken <= length[:, None]
    success = reached.any(axis=1)
    last = jnp.maximum(length - 1, 0)[:, None]
    return Outcome(
        success=success,
        final_success=jnp.take_along_axis(reached, last, axis=1)[:, 0],
        steps=jnp.where(success, 1 + jnp.argmax(reached, axis=1), length),
    )


def mean_of_kept(values: Array, result: Outcome) -> jax.Array:
    """The mean [N] -> [] over episodes of all workers that were not lost; 0 if all were."""
    kept = jnp.asarray(result.steps) > 0
    number, sums = total((jnp.sum(kept), jnp.sum(jnp.where(kept, values, 0))))
    return sums / jnp.maximum(number, 1)


def rates(result: Outcome) -> dict[str, jax.Array]:
    """Means of an outcome, named as in a metrics file."""
    return {
        "eval/success_rate": mean_of_kept(result.success, result),
        "eval/final_success_rate": mean_of_kept(result.final_success, result),
        "eval/ep_len_mean": mean_of_kept(result.steps, result),
    }


def report(result: Outcome) -> dict[str, Any]:
    """An outcome in plain numbers: rates, their 95% Wilson intervals, counts.

    Raises:
        UserError: every episode was lost.
    """
    result = Outcome(*(np.asarray(x)[np.asarray(result.steps) > 0] for x in result))
    episodes = len(result.success)
    require(episodes > 0, "every episode of the evaluation was lost: its processes died or hung")
    return {
        "success_rate": float(result.success.mean()),
        "final_success_rate": float(result.final_success.mean()),
        "ci95": list(wilson(int(result.success.sum()), episodes)),
        "final_ci95": list(wilson(int(result.final_success.sum()), episodes)),
        "episodes": episodes,
        "ep_len_mean": float(result.steps.mean()),
    }


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """The 95% Wilson interval of a success rate over at least one episode."""
    from scipy.stats import binomtest  # noqa: PLC0415  half a second that training need not pay

    interval = binomtest(successes, episodes).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)
