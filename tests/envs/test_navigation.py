"""Navigation against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest, uniform

from hem.envs import navigation
from hem.errors import UserError

DIM, THRESHOLD = 2, 0.3


@pytest.fixture(scope="module")
def env():
    return navigation.make(navigation.Config(dim=DIM, threshold=THRESHOLD))


def test_a_position_moves_by_the_action_within_the_walls(env):
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (500, DIM)).astype(np.float32)
    action = rng.uniform(-0.4, 0.4, (500, DIM)).astype(np.float32)  # also longer than allowed
    after = jax.vmap(env.step, (None, 0, 0))(jax.random.key(0), state, action)
    expected = np.clip(state + np.clip(action, -0.2, 0.2), -1, 1)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert (np.abs(expected) == 1).any()
    assert env.task.action == ((-0.2,) * DIM, (0.2,) * DIM)


def test_start_and_goal_are_uniform_and_independent(env):
    start, goal = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 20_000))
    numbers = np.concatenate([start, goal], axis=1)
    for column in numbers.T:
        assert kstest(column, uniform(-1, 2).cdf).pvalue > 0.001
    cells = np.floor(2 * (numbers + 1)).astype(int) @ 4 ** np.arange(2 * DIM)
    assert chisquare(np.bincount(cells, minlength=4 ** (2 * DIM))).pvalue > 0.001


def test_success_is_being_closer_than_the_threshold(env):
    rng = np.random.default_rng(0)
    achieved, goal = rng.uniform(-1, 1, (2, 300, DIM)).astype(np.float32)
    expected = np.linalg.norm(achieved[:, None] - goal, axis=-1) < THRESHOLD
    assert 0.01 < expected.mean() < 0.99
    for numpy in (np, jnp):
        success = env.task.success(numpy.asarray(achieved)[:, None], numpy.asarray(goal))
        np.testing.assert_array_equal(success, expected)


def test_position_is_observed_and_achieved(env):
    state = jnp.array([0.1, -0.5])
    for seen in env.observe(state):
        np.testing.assert_array_equal(seen, state)


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"threshold": 0.0}, {"horizon": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        navigation.Config(**wrong)
