"""The E-step: from stored episodes to a batch of transitions with relabeled goals.

The paper's q^h (section 3.1) samples an episode, a step t of it and, in hindsight, a goal achieved
later, at k. Rewards and terminations are never stored: they are recomputed here, and nowhere
else, from the *next* achieved goal, for desired and relabeled goals alike.

Steps t are also used if the relabeled goal was already achieved before t, while something stood
still or passed it. In the paper's task such an episode would have ended there, as it does in
``hem.paper.theory``. These pairs are kept because they are useful: without them, a policy for
SawyerReach reaches its goals but does not stay there (docs/theory.md). Where the goal is an object
that most actions do not move, there is little else: ``skip_achieved`` leaves out the pairs whose
goal is achieved at t. Critics get them back as success becomes common, to learn to stay.

If the environment ended an episode by a failure (the robot fell), the last step is never imitated,
so relabeling does not make failures more likely. Critics see it, with relabeled goals too: this is
how they learn what a failure is.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from hem.models.frame_stack import latest
from hem.replay import buffer as ring
from hem.replay.achieved import DRAWS, kept_share, unachieved
from hem.types import Array, Batch, Index, Replay, Strategy, Task


def hindsight(
    key: jax.Array,
    replay: Replay,
    task: Task,
    strategy: Strategy,
    batch_size: int,
    skip_achieved: bool = False,
) -> Batch:
    """A batch from q^h: steps from the replay buffer, all relabeled by ``strategy``.

    Args:
        key: consumed.
        replay: must hold an episode.
        task: defines success and termination.
        strategy: chooses the time at which the goal was achieved.
        batch_size: B.
        skip_achieved: leave out pairs whose goal is achieved at the step already. Where several
            draws gave no other, the weight is 0.
    """
    index_key, strategy_key = jax.random.split(key)
    replay = before_failure(replay)
    index = ring.sample(index_key, replay, batch_size * (DRAWS if skip_achieved else 1))
    goal_step = strategy(strategy_key, replay, index)
    found = jnp.ones(batch_size, bool)
    if skip_achieved:
        index, goal_step, found = unachieved(replay, task, index, goal_step, found)
    goal = achieved_goal(replay, index, goal_step)
    batch = transitions(replay, task, index, goal, goal_step)
    return batch._replace(weight=batch.weight * found)


def mixture(
    key: jax.Array,
    replay: Replay,
    task: Task,
    strategy: Strategy,
    batch_size: int,
    relabel_ratio: float,
    gamma: float,
    skip_achieved: bool = False,
    n_steps: int = 1,
) -> Batch:
    """A batch for critics: some goals relabeled, the others desired.

    Episodes are sampled uniformly, then their steps: a step of a short episode is more likely than
    one of a long episode, whereas other implementations of HER sample all steps uniformly.

    Args:
        key: consumed.
        replay: must hold an episode.
        task: defines success and termination.
        strategy: chooses the time at which the goal was achieved.
        batch_size: B.
        relabel_ratio: the fraction of goals that are relabeled, 0.8 for HER with k = 4.
        gamma: the discount of a step that does not end the relabeled episode.
        skip_achieved: as for ``hindsight``, of relabeled goals, but for a ``kept_share``.
        n_steps: as for ``transitions``.
    """
    index_key, strategy_key, keep_key = jax.random.split(key, 3)
    index = ring.sample(index_key, replay, batch_size * (DRAWS if skip_achieved else 1))
    goal_step = strategy(strategy_key, replay, index)
    in_hindsight = jax.random.uniform(keep_key, (batch_size,)) < relabel_ratio
    found = jnp.ones(batch_size, bool)
    if skip_achieved:
        skip = kept_share(replay, task) <= jax.random.uniform(
            jax.random.fold_in(keep_key, 1), (batch_size,)
        )
        index, goal_step, found = unachieved(replay, task, index, goal_step, in_hindsight & skip)
    goal = achieved_goal(replay, index, goal_step)
    goal = jax.tree.map(
        lambda ours, desired: jnp.where(
            in_hindsight.reshape(-1, *[1] * (ours.ndim - 1)), ours, desired
        ),
        goal,
        desired_goal(replay, index.episode),
    )
    goal_step = jnp.where(in_hindsight, goal_step, index.step)
    batch = transitions(replay, task, index, goal, goal_step, gamma, n_steps)
    return batch._replace(weight=batch.weight * found)


def before_failure(replay: Replay) -> Replay:
    """The same episodes, without the last step of those that failed."""
    data = replay.data
    kept = jnp.asarray(data.length) - jnp.asarray(data.failed)
    return replay._replace(data=data._replace(length=kept, failed=jnp.zeros_like(data.failed)))


class Goal(NamedTuple):
    """B goals: what success is judged by, and what the policy is conditioned on."""

    achieved: Array  # [B, *G]
    goal_input: Array  # [B, *G], or [B, *O] if the task has image goals


def achieved_goal(replay: Replay, index: Index, goal_step: Array) -> Goal:
    """The goals achieved at these times in the episodes of ``index``; an image goal is a frame."""
    e, k = index.episode, goal_step
    data = replay.data
    achieved = data.achieved[e, k]
    return Goal(achieved, achieved if data.goal_obs is None else data.obs[e, k])


def desired_goal(replay: Replay, episode: Array) -> Goal:
    """The desired goals of these episodes, i32[B]."""
    data = replay.data
    desired = data.goal[episode]
    return Goal(desired, desired if data.goal_obs is None else data.goal_obs[episode])


def transitions(
    replay: Replay,
    task: Task,
    index: Index,
    goal: Goal,
    goal_step: Array,
    gamma: float = 1.0,
    n_steps: int = 1,
) -> Batch:
    """The transitions at ``index`` as they would have been, had ``goal`` been desired.

    Args:
        replay: where they are stored.
        task: defines success and termination.
        index: B steps.
        goal: B of them.
        goal_step: i32[B], when the goal was achieved; the step t itself for a desired goal.
        gamma: discount of a step that is not terminal.
        n_steps: to the next observation, or fewer where the relabeled episode ends before. Rewards
            are added, each discounted by the steps before it.

    Raises:
        AssertionError: there are not B steps, goals and times of the task's shapes.
    """
    e, t = index
    chex.assert_rank(t, 1)
    chex.assert_equal_shape([e, t, goal_step])
    chex.assert_shape(goal.achieved, (*t.shape, *task.goal_shape))
    chex.assert_shape(goal.goal_input, (*t.shape, *task.goal_input_shape))
    data = replay.data
    taken, reached, ended = followed(replay, task, index, goal, n_steps)
    worth = jnp.asarray(gamma ** np.arange(n_steps + 1), jnp.float32)
    last = t + jnp.sum(taken, axis=1)
    return Batch(
        obs=latest(lambda t: data.obs[e, t], t, task.frames),
        action=data.action[e, t],
        next_obs=latest(lambda t: data.obs[e, t], last, task.frames),
        goal=goal.goal_input,
        reward=jnp.sum(taken * reached * worth[:-1], axis=1),
        discount=worth[last - t] * (1.0 - ended),
        failed=data.failed[e] & (last == data.length[e]),
        weight=(data.length[e] > 0).astype(jnp.float32),  # 0 if the replay buffer is empty
        steps_to_goal=goal_step - t,
        duration=jnp.sum(taken * worth[:-1], axis=1),
    )


def rest(reward: jax.Array) -> jax.Array:
    """The sum from each step onward, along the last axis: returns that are not discounted."""
    return jnp.cumsum(reward[..., ::-1], axis=-1)[..., ::-1]


def followed(
    replay: Replay, task: Task, index: Index, goal: Goal, n_steps: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The steps from each of ``index`` on, until the relabeled episode ends, at most ``n_steps``.

    Returns:
        bool[B, n_steps], whether each is taken, the first always; bool[B, n_steps], whether it
        reaches the goal; and bool[B], whether one of those taken ends the episode.
    """
    e, t = (jnp.expand_dims(x, 1) for x in index)
    after = t + jnp.arange(1, n_steps + 1)
    achieved = replay.data.achieved[e, jnp.minimum(after, task.horizon)]
    reached = task.success(achieved, jnp.expand_dims(goal.achieved, 1))
    ends = reached & task.terminates_on_success
    ended_before = (jnp.cumsum(ends, axis=1) - ends) > 0
    within = after <= jnp.expand_dims(jnp.asarray(replay.data.length)[index.episode], 1)
    taken = ~ended_before & (within | (after == t + 1))
    return taken, reached, jnp.any(taken & ends, axis=1)
