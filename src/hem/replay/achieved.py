"""Pairs whose goal is achieved at their step already: which of them an E-step leaves out.

Where the goal is an object that most actions do not move, nearly all pairs are such.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hem.replay import buffer as ring
from hem.system import collectives
from hem.types import Array, Index, Replay, Task

DRAWS = 32  # of a pair, at most, until there is one whose goal is not achieved at its step
RECENT = 100  # episodes that show how common success is


def unachieved(
    replay: Replay, task: Task, index: Index, goal_step: Array, wanted: Array
) -> tuple[Index, Array, Array]:
    """The first of several draws of each pair whose goal is not achieved at its step.

    Args:
        replay: where the pairs are from.
        task: defines success.
        index: steps of D draws of B pairs, D * B of them, a draw after the other.
        goal_step: i32[D * B], when their goals were achieved.
        wanted: bool[B]; of the other pairs, it is the first draw.

    Returns:
        B steps, their times i32[B], and bool[B], whether there was such a draw.
    """
    n, achieved = len(wanted), replay.data.achieved
    reached = task.success(achieved[index.episode, index.step], achieved[index.episode, goal_step])
    will_do = ~reached.reshape(-1, n) | ~wanted
    row = jnp.argmax(will_do, axis=0) * n + jnp.arange(n)
    return *jax.tree.map(lambda x: x[row], (index, goal_step)), will_do.any(axis=0)


def kept_share(replay: Replay, task: Task) -> jax.Array:
    """The share f32[] of pairs that are kept even if their goal is achieved already.

    It is 0 as long as at most half of the latest episodes that all workers collected achieve their
    desired goals. Above that it grows linearly, and is 1 if all do. Demonstrations do not count.
    """
    data = replay.data
    recent = -(-RECENT // collectives.count())
    slots = ring.latest(replay, min(recent, len(data.length)))
    collected = slots < replay.size  # and none has a demonstration
    taken = jnp.arange(1, data.achieved.shape[1])
    reached = task.success(data.achieved[slots, 1:], jnp.expand_dims(data.goal[slots], 1))
    succeeded = (reached & (taken <= data.length[slots][:, None])).any(axis=1)
    counts = jnp.stack([jnp.sum(succeeded & collected), jnp.sum(collected)])
    successes, episodes = collectives.total(counts)
    return jnp.maximum(2 * successes / jnp.maximum(episodes, 1) - 1, 0.0)
