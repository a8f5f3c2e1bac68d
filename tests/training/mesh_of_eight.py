"""Workers as eight devices of one process; run by ``test_workers.py`` where there are eight."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hem.algorithms import hem
from hem.envs import flip_bit
from hem.learners.optimization import minimize
from hem.models import normalizer
from hem.models import policy as policies
from hem.runs.experiment import make_experiment
from hem.system import collectives
from hem.training.learning import init_state
from hem.training.loop import iterations
from hem.training.rollout import collector
from hem.training.schedule import Counters
from hem.training.workers import ONE, Workers

W = 8
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers(W)


def rows(x: np.ndarray) -> np.ndarray:
    """Shares of a batch."""
    return x.reshape(W, -1, *x.shape[1:])


def test_sums_means_and_keys_are_of_all_workers(workers):
    x = np.random.default_rng(0).normal(size=(W, 3)).astype(np.float32)

    def program(x):
        key = jax.random.key_data(collectives.own_key(KEY))
        tree = {"a": x[:2], "b": x[2]}
        return collectives.total(x), collectives.mean(tree), collectives.index(), key

    total, mean, index, keys = workers.map(program)(workers.place(x))
    np.testing.assert_allclose(total, np.tile(x.sum(0), (W, 1)), rtol=1e-5)
    np.testing.assert_allclose(mean["a"], np.tile(x[:, :2].mean(0), (W, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean["b"], np.tile(x[:, 2].mean(), W), rtol=1e-5, atol=1e-6)
    assert np.asarray(index).tolist() == list(range(W))
    assert len({tuple(key) for key in np.asarray(keys).tolist()}) == W


def test_statistics_are_those_of_all_rows(workers):
    x = np.random.default_rng(0).normal(3, 2, (W * 16, 5)).astype(np.float32)
    times = np.random.default_rng(1).integers(0, 3, W * 16)
    before = normalizer.update(normalizer.init(5), x[:7], np.ones(7))
    expected = normalizer.update(before, x, times)
    update = workers.map(normalizer.update)
    found = update(workers.same(before), workers.place(rows(x)), workers.place(rows(times)))
    for one, all_ in zip(expected, found, strict=True):
        np.testing.assert_allclose(np.asarray(all_), np.broadcast_to(one, all_.shape), rtol=1e-5)


def test_the_gradient_is_that_of_the_whole_batch(workers):
    task = flip_bit.make(flip_bit.Config(bits=6)).task
    policy = policies.make(policies.spec_of(task, (32, 32)))
    rng = np.random.default_rng(0)
    obs, goal = rng.integers(0, 2, (2, W * 16, 6)).astype(np.int8)
    action = rng.integers(0, 6, W * 16).astype(np.int32)
    state = policy.init(KEY)
    descent = optax.sgd(1.0)

    def gradient(state, obs, goal, action):
        def loss(params):
            candidate = state._replace(params=params)
            return -jnp.mean(policy.log_prob(candidate, obs, goal, action))

        learned, _, _ = minimize(descent, loss, state.params, descent.init(state.params))
        return jax.tree.map(jnp.subtract, state.params, learned)

    expected = gradient(state, obs, goal, action)
    shares = map(workers.place, map(rows, (obs, goal, action)))
    found = workers.map(gradient)(workers.same(state), *shares)
    for one, all_ in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(np.asarray(all_), np.broadcast_to(one, all_.shape), atol=1e-6)


@pytest.mark.parametrize("on_host", [False, True], ids=["jax", "batched"])
def test_episodes_are_those_of_one_worker(workers, as_batched_env, on_host):
    env = flip_bit.make(flip_bit.Config(bits=5))
    env = as_batched_env(env) if on_host else env

    def act(keys, state, obs, goal, explore):
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, 5))(keys)

    expected = collector(env, act, W * 3, True, True)(KEY, (), 100)
    found = workers.collector(env, act, 3, True, True)(KEY, (), 100)
    for one, all_ in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(np.asarray(all_).reshape(one.shape), one)


@pytest.mark.parametrize(
    ("algo", "average_interval"),
    [("hem", 1), ("hem", 7), ("her", 1), ("gcsl", 1), ("hpg", 1)],
)
def test_every_algorithm_learns_the_same_on_all(workers, algo, average_interval):
    experiment = make_experiment(
        "FlipBit", algo, bits=5, hidden_dims=(32,), episodes_per_iteration=16, buffer_episodes=800,
        updates_per_iteration=20, env_steps=400, eval_episodes=20, workers=W,
        average_interval=average_interval,
    )  # fmt: skip
    env, algorithm = experiment.build()
    state = workers.same(init_state(env.task, algorithm, 0, 100))
    for step in iterations(env, algorithm, experiment.run, state, Counters(), workers=workers):
        for leaf in jax.tree.leaves(step.state.agent_state.policy):
            np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[0], leaf.shape))
        sizes = np.asarray(step.state.replay.size)
        assert sizes.tolist() == [2 * step.counters.iteration] * W
    assert 0 <= step.row["eval/success_rate"] <= 1
    assert (step.row["eval/success_rate"] * 20) % 1 == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
def test_eight_workers_flip_bits(workers):
    experiment = make_experiment(
        "FlipBit", bits=8, hidden_dims=(64, 64), episodes_per_iteration=32, env_steps=12_000,
        eval_interval=12_000, learning_rate=3e-3, workers=W, average_interval=5,
    )  # fmt: skip
    env, algorithm = experiment.build()
    state = workers.same(init_state(env.task, algorithm, 0, 250))
    *_, last = iterations(env, algorithm, experiment.run, state, Counters(), workers=workers)
    assert last.row["eval/success_rate"] > 0.9


def test_one_worker_is_no_axis():
    config = hem.Config((4,))
    assert collectives.mean(config) is config
    assert collectives.own_key(KEY) is KEY
    assert ONE.place(config) is config
    assert replace(make_experiment("FlipBit").run, workers=1) == make_experiment("FlipBit").run
