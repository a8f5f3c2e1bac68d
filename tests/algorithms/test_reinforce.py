"""REINFORCE against the exact gradient: all episodes listed, and finite differences."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from enumerated import all_episodes, exact_gradient, expected_ascent, two_bits
from scipy.stats import chisquare

from hem.algorithms import reinforce
from hem.errors import UserError
from hem.hindsight import future
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Discrete, Task

KEY = jax.random.key(0)


def make(task: Task, **settings) -> Algorithm:
    return reinforce.make(reinforce.Config(**settings), task, future.make(future.Config()))


def off_the_kink(state: reinforce.ReinforceState) -> reinforce.ReinforceState:
    """Inputs of zeros and biases of zero are where ReLU has no derivative."""
    params = jax.tree.map(lambda x: x + 0.1, state.policy.params)
    return state._replace(policy=state.policy._replace(params=params))


@pytest.mark.parametrize("terminates", [True, False])
@pytest.mark.parametrize("updates", [0, 1])
def test_its_mean_over_all_episodes_is_the_exact_gradient(terminates, updates):
    """Of the policy that acted, though its statistics have since gone on."""
    env = two_bits(terminates)
    algorithm = make(env.task, hidden_dims=(4,), batch_episodes=1)
    state, episodes = off_the_kink(algorithm.init(KEY)), all_episodes(env)
    replay = ring.add(ring.init(env.task, len(episodes.length)), episodes)
    for update in range(updates):
        state = algorithm.observe(state, episodes._replace(goal=0 * episodes.goal + update))
        state, _ = algorithm.m_step(KEY, state, algorithm.e_step(KEY, state, replay))
        assert state.policy.goal.seen > 0
    acting = state.policy
    state = algorithm.observe(state, episodes._replace(obs=1 - episodes.obs))
    ascent = expected_ascent(algorithm, state, env, acting, "relu")
    exact = exact_gradient(env, acting, "relu")
    assert np.abs(exact).max() > 0.01
    np.testing.assert_allclose(ascent, exact, atol=1e-5)


def test_a_row_s_weight_is_the_return_that_is_left(task, random_episodes):
    """Of the three episodes collected, of the five stored; written out in NumPy."""
    task = task._replace(terminates_on_success=False)
    rng = np.random.default_rng(1)
    algorithm = make(task, hidden_dims=(4,))
    old, new = random_episodes(rng, task, [5, 5]), random_episodes(rng, task, [5, 0, 2, 4])
    replay = ring.add(ring.add(ring.init(task, 7), old), new)
    state = algorithm.observe(algorithm.observe(algorithm.init(KEY), old), new)
    batch = algorithm.e_step(KEY, state, replay)
    weight = np.reshape(batch.weight, (7, task.horizon))
    expected = np.zeros((7, task.horizon))
    for row, episode in enumerate([3, 2, 0]):  # the latest first; episode 1 was lost
        for t in range(new.length[episode]):
            later = new.achieved[episode, t + 1 : new.length[episode] + 1]
            expected[row, t] = np.sum((later == new.goal[episode]).all(-1)) / 3
    assert (expected > 0).any(1).sum() >= 2  # some episodes reached their goals
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    obs = np.reshape(batch.obs, (7, task.horizon, -1))
    np.testing.assert_array_equal(obs[0, :4], new.obs[3, :4])
    goal = np.reshape(batch.goal, (7, task.horizon, -1))
    np.testing.assert_array_equal(goal[1], np.tile(new.goal[2], (5, 1)))


def test_only_so_many_episodes_are_used(task, random_episodes):
    algorithm = make(task._replace(terminates_on_success=False), hidden_dims=(4,), batch_episodes=2)
    episodes = random_episodes(np.random.default_rng(0), task, [5, 5, 5])
    replay = ring.add(ring.init(task, 4), episodes)
    batch = algorithm.e_step(KEY, algorithm.observe(algorithm.init(KEY), episodes), replay)
    np.testing.assert_array_equal(np.reshape(batch.obs, (2, 5, 3)), episodes.obs[[2, 1], :5])


def test_an_iteration_that_lost_all_its_episodes_teaches_nothing(task, random_episodes):
    algorithm = make(task, hidden_dims=(4,))
    rng = np.random.default_rng(0)
    old, none = random_episodes(rng, task, [5, 5]), random_episodes(rng, task, [0, 0])
    state = algorithm.observe(algorithm.observe(algorithm.init(KEY), old), none)
    batch = algorithm.e_step(KEY, state, ring.add(ring.init(task, 4), old))
    np.testing.assert_array_equal(batch.weight, 0)


def test_it_explores_by_samples_of_the_policy_itself(task):
    algorithm = make(task._replace(action=Discrete(4)), hidden_dims=(4,))
    state, n = algorithm.init(jax.random.key(1)), 20_000
    obs, goal = np.full((n, 3), 2, np.float32), np.ones((n, 2), np.int8)
    chosen = algorithm.act(jax.random.split(KEY, n), state, obs, goal, True)
    p = np.exp(algorithm.policy.log_prob(state.policy, obs[:4], goal[:4], np.arange(4))).astype(
        np.float64
    )
    assert chisquare(np.bincount(chosen, minlength=4), n * p / p.sum()).pvalue > 0.001


@pytest.mark.parametrize(
    "wrong", [{"hidden_dims": (0,)}, {"learning_rate": 0}, {"batch_episodes": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        reinforce.Config(**wrong)


@pytest.mark.slow
def test_it_solves_three_bits():
    experiment = make_experiment(
        "FlipBit",
        "reinforce",
        bits=3,
        hidden_dims=(32,),
        learning_rate=1e-2,
        episodes_per_iteration=32,
        batch_episodes=32,
        buffer_episodes=32,
        updates_per_iteration=1,
        env_steps=20_000,
        eval_interval=20_000,
    )
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, experiment.run.buffer_episodes)
    *_, last = iterations(env, algorithm, experiment.run, state, Counters())
    assert last.row["eval/success_rate"] > 0.9
