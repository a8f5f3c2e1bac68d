"""The E-step: from stored episodes to a batch of transitions whose goals were reached.

The paper's q^h (section 3.1) draws an episode, a moment t and, in hindsight, a goal achieved at a
later moment k. Rewards and terminations are never stored: they are recomputed here, and nowhere
else, from the *next* achieved goal, for desired and relabelled goals alike.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hem import replay as ring
from hem.types import Array, Batch, Index, Replay, Strategy, Task


def hindsight(
    key: jax.Array,
    replay: Replay,
    task: Task,
    strategy: Strategy,
    batch_size: int,
    relabelled: float = 1.0,
    gamma: float = 1.0,
) -> Batch:
    """A batch from q^h: moments of the replay, relabelled by ``strategy``.

    Args:
        key: consumed.
        replay: must hold an episode.
        task: gives success and termination.
        strategy: says when the goal was achieved.
        batch_size: B.
        relabelled: the fraction of goals taken in hindsight; the others stay as desired. 1 for
            hEM, 0.8 for HER with k = 4.
        gamma: the discount of a step that does not end the relabelled episode.
    """
    index_key, strategy_key, keep_key = jax.random.split(key, 3)
    index = ring.sample(index_key, replay, batch_size)
    goal_index = strategy(strategy_key, replay, index)
    if relabelled == 1.0:
        return transitions(replay, task, index, goal_at(replay, goal_index), goal_index.t, gamma)
    hindsight_goal = jax.random.uniform(keep_key, (batch_size,)) < relabelled
    goal = jnp.where(
        hindsight_goal.reshape(-1, *[1] * len(task.goal_shape)),
        goal_at(replay, goal_index),
        replay.data.goal[index.episode],
    )
    k = jnp.where(hindsight_goal, goal_index.t, index.t)
    return transitions(replay, task, index, goal, k, gamma)


def goal_at(replay: Replay, index: Index) -> Array:
    """The goals [B, *G] achieved at ``index``."""
    return replay.data.achieved[index.episode, index.t]


def transitions(
    replay: Replay, task: Task, index: Index, goal: Array, k: Array, gamma: float = 1.0
) -> Batch:
    """The transitions at ``index`` as they would have been, had ``goal`` been desired.

    Args:
        replay: where they are stored.
        task: gives success and termination.
        index: B moments.
        goal: [B, *G].
        k: i32[B], when the goal was achieved; equal to t where it is the desired one.
        gamma: discount of a step that is not terminal.
    """
    e, t = index
    data = replay.data
    reached = task.success(data.achieved[e, t + 1], goal)
    ended = reached & task.terminates_on_success
    return Batch(
        obs=data.obs[e, t],
        action=data.action[e, t],
        next_obs=data.obs[e, t + 1],
        goal=goal,
        reward=reached.astype(jnp.float32),
        discount=gamma * (1.0 - ended),
        weight=(data.length[e] > 0).astype(jnp.float32),  # an empty replay teaches nothing
        steps_to_goal=k - t,
    )
