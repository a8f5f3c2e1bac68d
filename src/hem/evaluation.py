"""The one success protocol.

Greedy actions, fresh episodes whose seeds never occur in training, never cut short: an episode
runs to the horizon, and success is reported at any step (what ends an episode in training) and at
the last step (whether the policy stays), with a 95% interval.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hem.types import Array, Episodes, Task


class Outcome(NamedTuple):
    """What became of N episodes."""

    success: Array  # bool[N]        the goal was achieved after some step
    final_success: Array  # bool[N]  and after the last step
    steps: Array  # i32[N]           steps until the goal was first achieved, or the length


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


def rates(result: Outcome) -> dict[str, jax.Array]:
    """Means of an outcome, named as in a metrics file."""
    return {
        "eval/success_rate": jnp.mean(result.success),
        "eval/final_success_rate": jnp.mean(result.final_success),
        "eval/ep_len_mean": jnp.mean(result.steps),
    }


def report(result: Outcome) -> dict[str, Any]:
    """An outcome as a person or a program wants it: rates, a 95% Wilson interval, counts."""
    from scipy.stats import binomtest  # noqa: PLC0415  half a second, which training need not pay

    episodes = len(result.success)
    interval = binomtest(int(result.success.sum()), episodes).proportion_ci(0.95, "wilson")
    return {
        "success_rate": float(result.success.mean()),
        "final_success_rate": float(result.final_success.mean()),
        "ci95": [float(interval.low), float(interval.high)],
        "episodes": episodes,
        "ep_len_mean": float(result.steps.mean()),
    }
