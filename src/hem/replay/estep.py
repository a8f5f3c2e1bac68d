"""The E-step: from stored episodes to a batch of transitions whose goals were reached.

The paper's q^h (section 3.1) draws an episode, a moment t and, in hindsight, a goal achieved at a
later moment k. Rewards and terminations are never stored: they are recomputed here, and nowhere
else, from the *next* achieved goal, for desired and relabeled goals alike.

The moments t go on where the relabeled goal was achieved before t already, as it may be while
something stands still or passes it. In the paper's task such an episode would have ended there, and
``hem.theory`` has it end. These pairs are kept because they teach: without them, a policy for
SawyerReach comes to its goals and does not stay (docs/theory.md).

Where the world ended an episode by a failure (the robot fell), a policy that learns by imitation
never sees the last step, so that no hindsight makes failing likelier. Critics see it, with goals
in hindsight too: it is how they learn what a failure is.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hem.models.frame_stack import latest
from hem.replay import buffer as ring
from hem.types import Array, Batch, Index, Replay, Strategy, Task


def hindsight(
    key: jax.Array,
    replay: Replay,
    task: Task,
    strategy: Strategy,
    batch_size: int,
) -> Batch:
    """A batch from q^h: moments of the replay, all relabeled by ``strategy``.

    Args:
        key: consumed.
        replay: must hold an episode.
        task: gives success and termination.
        strategy: says when the goal was achieved.
        batch_size: B.
    """
    index_key, strategy_key = jax.random.split(key)
    replay = before_failure(replay)
    index = ring.sample(index_key, replay, batch_size)
    reached = strategy(strategy_key, replay, index)
    return transitions(replay, task, index, goal_at(replay, reached), reached.t)


def mixture(
    key: jax.Array,
    replay: Replay,
    task: Task,
    strategy: Strategy,
    batch_size: int,
    relabel_ratio: float,
    gamma: float,
) -> Batch:
    """A batch as critics learn from: some goals in hindsight, the others as they were desired.

    Episodes are drawn uniformly, then their steps: a step of a short episode is likelier than one
    of a long episode, where other implementations of HER have all steps equally likely.

    Args:
        key: consumed.
        replay: must hold an episode.
        task: gives success and termination.
        strategy: says when the goal was achieved.
        batch_size: B.
        relabel_ratio: the fraction of goals taken in hindsight, 0.8 for HER with k = 4.
        gamma: the discount of a step that does not end the relabeled episode.
    """
    index_key, strategy_key, keep_key = jax.random.split(key, 3)
    index = ring.sample(index_key, replay, batch_size)
    reached = strategy(strategy_key, replay, index)
    goal = goal_at(replay, reached)
    in_hindsight = jax.random.uniform(keep_key, (batch_size,)) < relabel_ratio
    goal = jax.tree.map(
        lambda ours, desired: jnp.where(
            in_hindsight.reshape(-1, *[1] * (ours.ndim - 1)), ours, desired
        ),
        goal,
        desired_goal(replay, index),
    )
    k = jnp.where(in_hindsight, reached.t, index.t)
    return transitions(replay, task, index, goal, k, gamma)


def before_failure(replay: Replay) -> Replay:
    """The same episodes, without the step by which some of them failed."""
    data = replay.data
    kept = jnp.asarray(data.length) - jnp.asarray(data.failed)
    return replay._replace(data=data._replace(length=kept, failed=jnp.zeros_like(data.failed)))


class Goal(NamedTuple):
    """B goals: what success is judged by, and what the policy is told."""

    achieved: Array  # [B, *G]
    goal_input: Array  # [B, *G], or [B, *O] where the task shows goals


def goal_at(replay: Replay, index: Index) -> Goal:
    """The goals achieved at ``index``. How one looks is the frame at that moment."""
    e, k = index
    data = replay.data
    achieved = data.achieved[e, k]
    return Goal(achieved, achieved if data.goal_obs is None else data.obs[e, k])


def desired_goal(replay: Replay, index: Index) -> Goal:
    """The goals that were desired in the episodes of ``index``."""
    data = replay.data
    desired = data.goal[index.episode]
    return Goal(desired, desired if data.goal_obs is None else data.goal_obs[index.episode])


def transitions(
    replay: Replay, task: Task, index: Index, goal: Goal, k: Array, gamma: float = 1.0
) -> Batch:
    """The transitions at ``index`` as they would have been, had ``goal`` been desired.

    Args:
        replay: where they are stored.
        task: gives success and termination.
        index: B moments.
        goal: B of them.
        k: i32[B], when the goal was achieved; equal to t where it is the desired one.
        gamma: discount of a step that is not terminal.
    """
    e, t = index
    data = replay.data
    reached = task.success(data.achieved[e, t + 1], goal.achieved)
    ended = reached & task.terminates_on_success
    return Batch(
        obs=latest(lambda t: data.obs[e, t], t, task.frames),
        action=data.action[e, t],
        next_obs=latest(lambda t: data.obs[e, t], t + 1, task.frames),
        goal=goal.goal_input,
        reward=reached.astype(jnp.float32),
        discount=gamma * (1.0 - ended),
        failed=data.failed[e] & (t == data.length[e] - 1),
        weight=(data.length[e] > 0).astype(jnp.float32),  # an empty replay teaches nothing
        steps_to_goal=k - t,
    )
