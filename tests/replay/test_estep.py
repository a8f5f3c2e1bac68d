"""Relabeling against plain loops, and against what the environments themselves said."""

from __future__ import annotations

import collections
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from hem.envs import flip_bit, four_rooms, navigation
from hem.hindsight import episode, final, future, geometric
from hem.replay import buffer as ring
from hem.replay import estep
from hem.replay.achieved import kept_share
from hem.training.rollout import collector
from hem.types import Discrete, Index, Replay, Task

HORIZON = 4
LENGTHS = [4, 1, 3, 2, 4]
FAILED = [True, False, False, True, False]  # by the last step
DESIRED = 1000  # desired goals are below -1000, so that no achieved one is equal


def frame(slot: int, t: int) -> int:
    """A number that says which stored frame this is."""
    return slot * (HORIZON + 1) + t


class Tagged(NamedTuple):
    """A replay whose observations and achieved goals say where they come from."""

    task: Task
    replay: Replay


@pytest.fixture(scope="module", params=[True, False], ids=["terminating", "endless"])
def tagged(request, task, random_episodes) -> Tagged:
    """Goals are fulfilled by any frame in whose parity they agree: by many, not only their own."""
    task = task._replace(
        horizon=HORIZON,
        obs_shape=(1,),
        goal_shape=(1,),
        goal_dtype=np.dtype(np.int32),
        success=lambda achieved, goal: (achieved[..., 0] - goal[..., 0]) % 2 == 0,
        terminates_on_success=request.param,
    )
    data = random_episodes(np.random.default_rng(0), task, LENGTHS)
    number = np.arange(len(LENGTHS) * (HORIZON + 1)).reshape(len(LENGTHS), HORIZON + 1, 1)
    goal = -DESIRED - np.arange(len(LENGTHS), dtype=np.int32)[:, None]
    data = data._replace(obs=number.astype(np.float32), achieved=number.astype(np.int32), goal=goal)
    data = data._replace(failed=np.array(FAILED))
    return Tagged(task, ring.add(ring.init(task, len(LENGTHS) + 1), data))


FUTURE = future.make(future.Config())


def render(tagged: Tagged, strategy=FUTURE):
    batch = jax.jit(lambda key: estep.hindsight(key, tagged.replay, tagged.task, strategy, 2000))(
        jax.random.key(0)
    )
    return jax.tree.map(np.asarray, batch)


def mixed(
    tagged: Tagged, relabel_ratio: float, gamma: float = 0.98, strategy=FUTURE, n_steps: int = 1
):
    batch = jax.jit(
        lambda key: estep.mixture(
            key,
            tagged.replay,
            tagged.task,
            strategy,
            2000,
            relabel_ratio,
            gamma,
            n_steps=n_steps,
        )
    )(jax.random.key(0))
    return jax.tree.map(np.asarray, batch)


def check_against_loops(tagged: Tagged, batch, gamma: float, n_steps: int = 1) -> None:
    """Every row is what plain Python makes of the frames that its tags name."""
    data = jax.tree.map(np.asarray, tagged.replay.data)
    for row in range(len(batch.weight)):
        slot, t = divmod(int(batch.obs[row, 0]), HORIZON + 1)
        goal = int(batch.goal[row, 0])
        if goal <= -DESIRED:
            assert goal == data.goal[slot, 0]
            assert batch.steps_to_goal[row] == 0
        else:
            goal_slot, k = divmod(goal, HORIZON + 1)
            assert goal_slot == slot
            assert 0 < k <= LENGTHS[slot]
            assert batch.steps_to_goal[row] == k - t
        assert t < LENGTHS[slot]
        assert batch.action[row] == data.action[slot, t]
        reward, duration, discount, now = 0.0, 0.0, 1.0, t
        while now < LENGTHS[slot] and now < t + n_steps and discount:
            success = (frame(slot, now + 1) - goal) % 2 == 0
            reward += discount * success
            duration += discount
            discount *= 0 if success and tagged.task.terminates_on_success else gamma
            now += 1
        assert batch.next_obs[row, 0] == frame(slot, now)
        assert batch.reward[row] == pytest.approx(reward)
        assert batch.duration[row] == pytest.approx(duration)
        assert batch.discount[row] == pytest.approx(discount)
        assert batch.failed[row] == (FAILED[slot] and now == LENGTHS[slot])
        assert batch.weight[row] == 1


@pytest.mark.parametrize(
    "make_strategy",
    [
        lambda: future.make(future.Config()),
        lambda: final.make(final.Config()),
        lambda: episode.make(episode.Config()),
        lambda: geometric.make(geometric.Config(0.7)),
    ],
    ids=["future", "final", "episode", "geometric"],
)
def test_relabelled_transitions_are_those_of_plain_loops(tagged, make_strategy):
    batch = render(tagged, make_strategy())
    assert (batch.goal >= 0).all()
    assert 0 < batch.reward.mean() < 1
    assert len(np.unique(batch.obs)) == sum(LENGTHS) - sum(FAILED)
    assert not batch.failed.any()
    slots, goal_times = np.divmod(batch.goal[:, 0], HORIZON + 1)
    assert (goal_times <= np.subtract(LENGTHS, FAILED)[slots]).all()
    check_against_loops(tagged, batch, gamma=1.0)


@pytest.mark.parametrize("strategy", [future, final, episode, geometric])
def test_critics_see_every_step_and_failures_in_hindsight_too(tagged, strategy):
    batch = mixed(tagged, 1.0, 0.9, strategy.make(strategy.Config()))
    assert len(np.unique(batch.obs)) == sum(LENGTHS)
    assert (batch.goal >= 0).all()
    assert batch.failed.any()
    check_against_loops(tagged, batch, gamma=0.9)


@pytest.mark.parametrize("strategy", [future, final, episode, geometric])
def test_an_episode_that_fails_at_once_teaches_no_goal(tagged, strategy):
    data = tagged.replay.data
    at_once = data._replace(length=jnp.minimum(data.length, 1), failed=data.length > 0)
    batch = render(tagged._replace(replay=tagged.replay._replace(data=at_once)),
                 strategy.make(strategy.Config()))  # fmt: skip
    assert (batch.weight == 0).all()
    assert all(np.isfinite(leaf).all() for leaf in batch)


def test_where_achieved_goals_are_skipped_all_other_pairs_remain_as_likely(tagged):
    task, length = tagged.task, np.subtract(LENGTHS, FAILED)
    chances = {
        (slot, t, k): 1 / (length > 0).sum() / length[slot] / (length[slot] - t)
        for slot in range(len(LENGTHS))
        for t in range(length[slot])
        for k in range(t + 1, length[slot] + 1)
        if (k - t) % 2
    }
    n = 20_000
    batch = jax.jit(
        lambda key: estep.hindsight(key, tagged.replay, task, FUTURE, n, skip_achieved=True)
    )(jax.random.key(0))
    batch = jax.tree.map(np.asarray, batch)
    check_against_loops(tagged, jax.tree.map(lambda x: x[:500], batch), gamma=1.0)
    slot, t = np.divmod(batch.obs[:, 0].astype(int), HORIZON + 1)
    drawn = collections.Counter(zip(slot, t, t + batch.steps_to_goal, strict=True))
    assert drawn.keys() == chances.keys()
    expected = np.array(list(chances.values())) / sum(chances.values()) * n
    assert chisquare([drawn[pair] for pair in chances], expected).pvalue > 0.001


def test_where_achieved_goals_are_skipped_steps_with_a_desired_goal_are_not(tagged, monkeypatch):
    monkeypatch.setattr(estep, "kept_share", lambda *_: 0.0)  # as if hardly an episode succeeded
    batch = jax.jit(
        lambda key: estep.mixture(
            key, tagged.replay, tagged.task, FUTURE, 20_000, 0.5, 1.0, skip_achieved=True
        )
    )(jax.random.key(0))
    batch = jax.tree.map(np.asarray, batch)
    check_against_loops(tagged, jax.tree.map(lambda x: x[:500], batch), gamma=1.0)
    relabelled = batch.goal[:, 0] >= 0
    assert binomtest(int(relabelled.sum()), len(relabelled), 0.5).pvalue > 0.001
    slot, t = np.divmod(batch.obs[:, 0].astype(int), HORIZON + 1)
    assert (batch.steps_to_goal[relabelled] % 2 == 1).all()
    seen = collections.Counter(zip(slot[~relabelled], t[~relabelled], strict=True))
    chances = {(s, u): 1 / len(LENGTHS) / n for s, n in enumerate(LENGTHS) for u in range(n)}
    expected = np.array(list(chances.values())) * (~relabelled).sum()
    assert chisquare([seen[step] for step in chances], expected).pvalue > 0.001


@pytest.mark.parametrize(("succeed", "of", "kept"), [(0, 8, 0), (4, 8, 0), (6, 8, 0.5), (8, 8, 1)])
def test_achieved_goals_come_back_as_success_becomes_common(
    task, random_episodes, succeed, of, kept
):
    """Episodes in which nothing moves until the last step, when some reach the desired goal."""
    task = task._replace(horizon=HORIZON, success=lambda a, g: (a == g).all(-1))
    old = random_episodes(np.random.default_rng(0), task, [HORIZON] * of)
    achieved = np.zeros_like(old.achieved)
    achieved[:, -1] = 1
    goal = np.full_like(old.goal, 2)
    goal[:succeed] = 1
    moved = old._replace(achieved=achieved, goal=goal, failed=np.zeros(of, bool))
    won_long_ago = moved._replace(goal=np.ones_like(goal))
    replay = ring.add(ring.add(ring.init(task, of), won_long_ago), moved)
    assert kept_share(replay, task) == kept
    n = 20_000
    batch = estep.mixture(jax.random.key(0), replay, task, FUTURE, n, 1.0, 1.0, skip_achieved=True)
    still = np.asarray((batch.goal == 0).all(-1))
    # Of all pairs t < k <= T, those with k = T are the ones whose goal is not achieved at t.
    expected = kept * np.mean([1 - 1 / (HORIZON - t) for t in range(HORIZON)])
    assert abs(still.mean() - expected) < 4 * 0.5 / np.sqrt(n)


def test_demonstrations_do_not_show_how_common_success_is(task, random_episodes):
    task = task._replace(success=lambda a, g: (a == a).all(-1))  # always
    episodes = random_episodes(np.random.default_rng(0), task, [3, 2])
    shown = ring.keep_all(ring.add(ring.init(task, 4, keeps=True), episodes))
    assert kept_share(shown, task) == 0
    assert kept_share(ring.add(shown, episodes), task) == 1
    full = ring.keep_all(ring.add(ring.init(task, 2, keeps=True), episodes))
    assert kept_share(full, task) == 0


def test_where_every_goal_is_achieved_already_nothing_has_weight(tagged):
    still = tagged._replace(task=tagged.task._replace(success=lambda a, g: a[..., 0] == a[..., 0]))
    batch = jax.jit(
        lambda key: estep.hindsight(key, still.replay, still.task, FUTURE, 100, skip_achieved=True)
    )(jax.random.key(0))
    assert (np.asarray(batch.weight) == 0).all()


def test_a_fraction_of_the_goals_is_relabelled(tagged):
    batch = mixed(tagged, relabel_ratio=0.8)
    check_against_loops(tagged, batch, gamma=0.98)
    hindsight = batch.goal >= 0
    assert binomtest(int(hindsight.sum()), len(hindsight), 0.8).pvalue > 0.001


def test_no_goal_is_relabelled_with_a_fraction_of_zero(tagged):
    batch = mixed(tagged, relabel_ratio=0.0, gamma=1.0)
    assert (batch.goal <= -DESIRED).all()
    check_against_loops(tagged, batch, gamma=1.0)


def test_goals_with_several_axes_are_relabelled(task, random_episodes):
    task = task._replace(
        goal_shape=(2, 2), success=lambda achieved, goal: (achieved == goal).all((-2, -1))
    )
    data = random_episodes(np.random.default_rng(0), task, [5, 3])
    data = data._replace(goal=np.full_like(data.goal, 7), failed=np.zeros(2, bool))
    replay = ring.add(ring.init(task, 2), data)
    batch = mixed(Tagged(task, replay), 0.5, strategy=final.make(final.Config()))
    desired = (np.asarray(batch.goal) == 7).all((1, 2))
    assert 900 < desired.sum() < 1100
    lasts = [data.achieved[slot, steps].tolist() for slot, steps in enumerate(data.length)]
    assert all(goal in lasts for goal in batch.goal[~desired].tolist())


WORLDS = [
    flip_bit.make(flip_bit.Config(bits=3)),
    navigation.make(navigation.Config(dim=1, horizon=8)),
    four_rooms.make(four_rooms.Config()),
]


@pytest.mark.parametrize("env", WORLDS, ids=lambda env: env.task.name)
def test_the_desired_goal_gives_back_what_the_world_said(env):
    task, n = env.task, 200

    def act(keys, agent_state, obs, goal, explore):
        if isinstance(task.action, Discrete):
            return jax.vmap(lambda key: jax.random.randint(key, (), 0, task.action.n))(keys)
        return jax.vmap(lambda key: jax.random.uniform(key, (1,), minval=-0.2, maxval=0.2))(keys)

    episodes = collector(env, act, n, explore=True, ends=True)(jax.random.key(0), None, 0)
    # Which moment a row is of shows in its observation, which is not needed otherwise.
    slots, times = np.indices((n, task.horizon + 1), np.int32)
    task = task._replace(obs_shape=(2,), obs_dtype=np.dtype(np.int32))
    replay = ring.add(ring.init(task, n), episodes._replace(obs=np.stack([slots, times], axis=-1)))
    batch = jax.jit(lambda key: estep.mixture(key, replay, task, FUTURE, 5000, 0.0, 0.5))(
        jax.random.key(1)
    )

    slot, t = np.asarray(batch.obs).T
    np.testing.assert_array_equal(batch.goal, np.asarray(episodes.goal)[slot])
    # The collector says that a goal is reached by ending the episode there, and never before.
    length = np.asarray(episodes.length)
    ended = (length < task.horizon) | task.success(
        np.asarray(episodes.achieved)[np.arange(n), length], np.asarray(episodes.goal)
    )
    reached = ended[slot] & (t + 1 == length[slot])
    assert 10 < reached.sum() < len(reached) - 10
    np.testing.assert_array_equal(batch.reward, reached)
    np.testing.assert_array_equal(batch.discount, np.where(reached, 0, 0.5))
    np.testing.assert_array_equal(batch.steps_to_goal, 0)


@pytest.mark.parametrize("relabelled", [1.0, 0.5])
@pytest.mark.parametrize("n_steps", [2, 3, 2 * HORIZON])
def test_rewards_of_several_steps_add_up_until_the_episode_ends(tagged, n_steps, relabelled):
    batch = mixed(tagged, relabelled, 0.9, n_steps=n_steps)
    covered = np.unique(batch.duration)
    assert len(covered) == min(n_steps, HORIZON if not tagged.task.terminates_on_success else 2)
    check_against_loops(tagged, batch, gamma=0.9, n_steps=n_steps)


def test_a_goal_relabelled_to_the_next_state_is_rewarded(tagged):
    index = Index(jnp.array([0, 2]), jnp.array([1, 0]))
    goal = estep.achieved_goal(tagged.replay, index, index.step + 1)
    batch = estep.transitions(tagged.replay, tagged.task, index, goal, index.step + 1)
    np.testing.assert_array_equal(batch.reward, 1)
    np.testing.assert_array_equal(batch.steps_to_goal, 1)


@pytest.mark.parametrize("relabelled", [1.0, 0.5, 0.0])
def test_where_goals_are_shown_a_relabelled_one_is_the_frame_of_its_moment(tagged, relabelled):
    """Success is still judged by what was achieved, as it is where goals are told in numbers."""
    data = tagged.replay.data
    shown = data.goal.astype(np.float32)  # [C, 1], as an observation is
    replay = tagged.replay._replace(data=data._replace(goal_obs=shown))
    task = tagged.task._replace(image_goals=True)
    batch = mixed(Tagged(task, replay), relabelled)
    goal_input = mixed(tagged, relabelled)
    assert batch.goal.dtype == np.float32
    np.testing.assert_array_equal(
        batch.goal, goal_input.goal
    )  # here frames and goals bear one number
    for name in ("obs", "reward", "discount", "failed", "steps_to_goal"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(goal_input, name))


def test_an_empty_replay_has_no_weight(tagged):
    empty = Tagged(tagged.task, ring.init(tagged.task, 3))
    for strategy in (future, final, episode, geometric):
        batch = render(empty, strategy.make(strategy.Config()))
        assert (batch.weight == 0).all()
        assert all(np.isfinite(leaf).all() for leaf in batch)
