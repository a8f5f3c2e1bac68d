"""FlipBit against NumPy."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from hem.envs import flip_bit
from hem.errors import UserError


@pytest.fixture(scope="module")
def env():
    return flip_bit.make(flip_bit.Config(bits=3))


def test_an_action_flips_its_bit_and_no_other(env):
    cases = list(itertools.product(itertools.product([0, 1], repeat=3), range(3)))
    state = np.array([state for state, _ in cases], np.int8)
    action = np.array([action for _, action in cases], np.int32)
    after = jax.vmap(env.step, (None, 0, 0))(jax.random.key(0), state, action)
    expected = state.copy()
    expected[np.arange(len(cases)), action] = 1 - expected[np.arange(len(cases)), action]
    np.testing.assert_array_equal(after, expected)
    assert after.dtype == np.int8


def test_start_and_goal_are_uniform_and_independent(env):
    start, goal = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 20_000))
    joint = np.concatenate([start, goal], axis=1) @ 2 ** np.arange(6)
    assert chisquare(np.bincount(joint, minlength=64)).pvalue > 0.001


def test_a_start_at_zero_leaves_the_goals_as_they_are(env):
    zero = flip_bit.make(flip_bit.Config(bits=3, zero_start=True))
    keys = jax.random.split(jax.random.key(0), 100)
    (start, goal), (_, same) = jax.vmap(zero.reset)(keys), jax.vmap(env.reset)(keys)
    np.testing.assert_array_equal(start, np.zeros((100, 3), np.int8))
    assert start.dtype == np.int8
    np.testing.assert_array_equal(goal, same)


def test_success_is_having_every_bit_right(env):
    bits = np.array(list(itertools.product([0, 1], repeat=3)), np.int8)
    for numpy in (np, jnp):
        success = env.task.success(numpy.asarray(bits)[:, None], numpy.asarray(bits))
        np.testing.assert_array_equal(success, np.eye(8, dtype=bool))


def test_bits_are_observed_and_achieved(env):
    state = jnp.array([0, 1, 1], jnp.int8)
    for seen in env.observe(state):
        np.testing.assert_array_equal(seen, state)


def test_an_episode_has_as_many_steps_as_bits_unless_told():
    assert flip_bit.make(flip_bit.Config(bits=7)).task.horizon == 7
    assert flip_bit.make(flip_bit.Config(bits=7, horizon=9)).task.horizon == 9


@pytest.mark.parametrize("wrong", [{"bits": 0}, {"horizon": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        flip_bit.Config(**wrong)
