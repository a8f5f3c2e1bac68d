"""Collectors: what an episode depends on, and that both kinds collect the same."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.envs import flip_bit, navigation
from hem.runs.experiment import make_experiment
from hem.training.rollout import Interrupted, collector
from hem.types import Discrete, Episodes, JaxEnv, Task

KEY = jax.random.key(3)
WORLDS = {
    "FlipBit": flip_bit.make(flip_bit.Config(bits=3, horizon=6)),
    "Navigation": navigation.make(navigation.Config(dim=1, threshold=0.15, horizon=6)),
}


def act_for(task: Task) -> Callable:
    """A policy that depends on everything it is given; without matrices, so rows are exact."""

    def act(keys, shift, obs, goal, explore):
        if isinstance(task.action, Discrete):
            n = task.action.n
            drawn = jax.vmap(lambda key: jax.random.randint(key, (), 0, n))(keys)
            chosen = drawn * explore + shift + obs.sum(-1) + 2 * goal.sum(-1)
            return jnp.astype(chosen % n, jnp.int32)
        drawn = jax.vmap(lambda key: jax.random.normal(key, task.action.shape))(keys)
        return jnp.clip(0.05 * shift + 0.1 * explore * drawn + 0.3 * (goal - obs), -0.2, 0.2)

    return act


@pytest.fixture(scope="module", params=WORLDS)
def env(request) -> JaxEnv:
    return WORLDS[request.param]


def collect(env, n, first=0, key=KEY, shift=0, explore=True, ends=True) -> Episodes:
    gather = collector(env, act_for(env.task), n, explore, ends)
    return jax.tree.map(np.asarray, gather(key, shift, first))


def read(episodes: Episodes) -> Episodes:
    """The episodes with zeros in what lies past their lengths."""
    moment = np.arange(episodes.obs.shape[1])

    def cut(x: np.ndarray, count: np.ndarray) -> np.ndarray:
        keep = moment[: x.shape[1]] < count[:, None]
        return np.where(keep.reshape(*keep.shape, *[1] * (x.ndim - 2)), x, 0)

    return episodes._replace(
        obs=cut(episodes.obs, episodes.length + 1),
        achieved=cut(episodes.achieved, episodes.length + 1),
        action=cut(episodes.action, episodes.length),
    )


def equal(one: Episodes, other: Episodes) -> None:
    jax.tree.map(np.testing.assert_array_equal, read(one), read(other))


@pytest.fixture(scope="module")
def eight(env) -> Episodes:
    return collect(env, 8)


def test_an_episode_depends_on_the_key_and_its_number_only(env, eight):
    for first in (0, 4):
        equal(
            collect(env, 4, first),
            jax.tree.map(lambda x, first=first: x[first : first + 4], eight),
        )


def test_a_policy_with_matrices_is_the_same_in_any_batch_up_to_rounding():
    env, algorithm = make_experiment("Navigation", "hem", horizon=6, hidden_dims=(32,)).build()
    agent_state = algorithm.init(KEY)

    def first(n: int) -> Episodes:
        gather = collector(env, algorithm.act, n, explore=True, ends=False)
        return jax.tree.map(lambda x: np.asarray(x)[0], gather(KEY, agent_state, 0))

    alone = first(1)
    for n in (4, 16, 100):
        episode = first(n)
        np.testing.assert_array_equal(episode.goal, alone.goal)
        np.testing.assert_array_equal(episode.obs[0], alone.obs[0])
        np.testing.assert_allclose(episode.obs, alone.obs, atol=1e-5)


def test_episodes_of_other_numbers_and_keys_are_others(env, eight):
    other = collect(env, 8, key=jax.random.key(4))
    assert len(np.unique(eight.action.reshape(8, -1), axis=0)) >= 6
    assert (eight.goal != other.goal).any()
    assert (eight.obs[:, 0] != other.obs[:, 0]).any()
    assert (eight.action != other.action).any()


def test_starts_actions_and_dynamics_never_share_their_randomness():
    """Where each is nothing but one and the same draw from its key, no two draws are equal."""

    def render(key):
        return jax.random.randint(key, (), 0, 2**30)

    env = WORLDS["FlipBit"]._replace(
        reset=lambda key: (render(key), jnp.zeros(3, jnp.int8)),
        step=lambda key, state, action: render(key),
        observe=lambda state: (state, jnp.ones(3, jnp.int8)),
    )

    def act(keys, agent_state, obs, goal, explore):
        return jax.vmap(render)(keys)

    episodes = collector(env, act, 50, explore=True, ends=True)(KEY, None, 0)
    draws = np.concatenate([episodes.obs, episodes.action], axis=1)
    assert len(np.unique(draws)) == draws.size == 50 * (7 + 6)


@pytest.mark.parametrize("ends", [True, False])
def test_length_and_termination_follow_from_what_was_achieved(env, ends):
    episodes = collect(env, 64, ends=ends)
    horizon = env.task.horizon
    for row in range(64):
        goal, steps = episodes.goal[row], horizon
        reached = [
            t for t in range(1, horizon + 1) if env.task.success(episodes.achieved[row, t], goal)
        ]
        if ends and reached:
            steps = reached[0]
        assert episodes.length[row] == steps
    assert not episodes.failed.any()
    if ends:
        assert len(np.unique(episodes.length)) > 2


def test_stored_actions_lead_from_each_frame_to_the_next(env, eight):
    for row in range(8):
        for t in range(eight.length[row]):
            before, action = eight.obs[row, t], eight.action[row, t]
            if isinstance(env.task.action, Discrete):
                after = np.where(np.arange(3) == action, 1 - before, before)
            else:
                after = np.clip(before + action, -1, 1)
            np.testing.assert_allclose(eight.obs[row, t + 1], after, atol=1e-6)
            np.testing.assert_array_equal(eight.achieved[row, t], eight.obs[row, t])


def test_without_exploration_actions_are_the_policy_s_own(env):
    episodes = collect(env, 16, shift=1, explore=False)
    act = act_for(env.task)
    keys = jax.random.split(jax.random.key(99), 16)  # which do not matter
    for t in range(env.task.horizon):
        running = episodes.length > t
        own = act(keys, 1, episodes.obs[:, t], episodes.goal, False)
        np.testing.assert_allclose(episodes.action[running, t], np.asarray(own)[running], atol=1e-6)


@pytest.mark.parametrize("ends", [True, False])
def test_both_collectors_give_the_same_episodes(env, as_batched_env, ends):
    on_host = collect(as_batched_env(env), 32, first=5, ends=ends)
    compiled = collect(env, 32, first=5, ends=ends)
    equal(on_host, compiled)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), on_host, compiled)
    assert (on_host.length == env.task.horizon).all() == (not ends)


def test_a_simulator_is_stepped_for_running_episodes_only(as_batched_env):
    batched_env, asked = as_batched_env(WORLDS["FlipBit"]), []

    def step(state, action):
        asked.append(len(action))
        return batched_env.step(state, action)

    episodes = collect(batched_env._replace(step=step), 32)
    longest = episodes.length.max()
    assert asked == [(episodes.length > t).sum() for t in range(longest)]


@pytest.mark.parametrize("steps", [0, 3])
def test_a_simulation_is_interrupted_between_steps(as_batched_env, steps):
    batched_env, taken = as_batched_env(WORLDS["Navigation"]), []

    def step(state, action):
        taken.append(1)
        return batched_env.step(state, action)

    act = act_for(batched_env.task)
    counted = batched_env._replace(step=step)
    gather = collector(counted, act, 4, True, False, should_stop=lambda: len(taken) >= steps)
    with pytest.raises(Interrupted):
        gather(KEY, 0, 0)
    assert len(taken) == steps
