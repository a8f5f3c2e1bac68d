"""What is no mean over rows: of several workers it is that of one with all of their episodes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from enumerated import all_episodes, two_bits

from hem.algorithms import hpg, mpo, reinforce
from hem.hindsight import future
from hem.replay import achieved
from hem.replay import buffer as ring
from hem.system.collectives import AXIS, apart
from hem.types import Episodes, Replay, Task

W, EACH = 3, 4
KEY = jax.random.key(0)


def shares(tree: Any) -> Any:
    """[W * n, ...] as [W, n, ...]."""
    return jax.tree.map(lambda x: np.reshape(x, (W, -1, *np.shape(x)[1:])), tree)


def on_workers(function: Any, *args: Any) -> Any:
    """The function's results [W, ...] on shares of its arguments."""
    return jax.vmap(function, axis_name=AXIS)(*map(shares, args))


def episodes_of(task: Task, seed: int = 0) -> Episodes:
    """W * EACH of all there are."""
    every = all_episodes(two_bits(task.terminates_on_success))
    chosen = np.random.default_rng(seed).choice(len(every.length), W * EACH, replace=False)
    return jax.tree.map(lambda x: x[chosen], every)


def stored(task: Task, episodes: Episodes) -> Replay:
    return ring.add(ring.init(task, len(episodes.length)), episodes)


@pytest.mark.parametrize(
    ("module", "settings"),
    [(hpg, {"weighted": True}), (hpg, {"weighted": False}), (reinforce, {})],
    ids=["weighted", "unweighted", "reinforce"],
)
@pytest.mark.parametrize("lost", [(), (0, 5, 6)], ids=["all", "some are lost"])
def test_the_weights_of_policy_gradients(module, settings, lost):
    task = two_bits(False).task
    episodes = episodes_of(task)
    length = np.where(np.isin(np.arange(W * EACH), lost), 0, episodes.length)
    episodes = episodes._replace(length=length)

    def weights(episodes: Episodes) -> jax.Array:
        """Of each episode, the latest first: [N, goals and steps]."""
        n = len(episodes.length)
        config = module.Config(hidden_dims=(4,), batch_episodes=n, **settings)
        algorithm = module.make(config, task, future.make(future.Config()))
        state = algorithm.observe(algorithm.init(jax.random.key(1)), episodes)
        params = algorithm.init(jax.random.key(2)).policy.params  # not those that acted
        state = state._replace(policy=state.policy._replace(params=params))
        batch = algorithm.e_step(KEY, state, stored(task, episodes))
        return batch.weight.reshape(n, -1)

    whole = np.asarray(weights(episodes))
    found = np.asarray(on_workers(weights, episodes))
    # Lost episodes leave room at the end: of all workers, and of each.
    kept = [[w[::-1] for w in found[i, : (shares(length)[i] > 0).sum()]] for i in range(W)]
    assert np.abs(whole).max() > 0.01
    expected = whole[: (length > 0).sum()][::-1]
    got = np.concatenate([np.array([row[::-1] for row in rows][::-1]) for rows in kept])
    np.testing.assert_allclose(got / W, expected, rtol=1e-4, atol=1e-6)


def test_the_temperature_of_mpo():
    rng = np.random.default_rng(0)
    log_prior = jax.nn.log_softmax(rng.normal(size=(W * EACH, 5)))
    value = rng.normal(size=(W * EACH, 5)) * np.repeat([0.1, 1.0, 10.0], EACH)[:, None]

    def temperature(log_prior: Any, value: Any) -> jax.Array:
        return mpo.temperature_of(log_prior, value, 0.1)

    whole = temperature(log_prior, jnp.asarray(value, jnp.float32))
    found = on_workers(temperature, log_prior, value.astype(np.float32))
    np.testing.assert_allclose(found, np.tile(whole, W), rtol=1e-3)
    with apart():
        alone = on_workers(temperature, log_prior, value.astype(np.float32))
    assert np.ptp(alone) > 0.1 * whole


@pytest.mark.parametrize("recent", [100, 6])
def test_how_common_success_is(recent, monkeypatch):
    monkeypatch.setattr(achieved, "RECENT", recent)
    task = two_bits(False).task
    episodes = episodes_of(task, seed=1)
    wanted = np.array([0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1], bool)
    goal = np.where(wanted[:, None], episodes.achieved[:, 1], 9)  # 9 is never achieved
    episodes = episodes._replace(goal=goal.astype(episodes.goal.dtype))

    def kept(episodes: Episodes) -> jax.Array:
        return achieved.kept_share(stored(task, episodes), task)

    latest = shares(wanted)[:, -min(EACH, recent // W) :]
    assert 0.5 < latest.mean() < 1
    np.testing.assert_allclose(on_workers(kept, episodes), 2 * latest.mean() - 1, rtol=1e-5)
