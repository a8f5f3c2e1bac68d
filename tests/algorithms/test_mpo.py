"""MPO: weights, dual, targets and steps against NumPy and SciPy; where it learns and where not."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from enumerated import flat, log_probs, outputs, unflat
from scipy.optimize import approx_fprime, minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from hem.algorithms import mpo
from hem.errors import UserError
from hem.hindsight import future
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Batch, Box, Task

KEY = jax.random.key(0)
ROWS = 6


def make(task: Task, **settings: Any) -> Algorithm:
    return mpo.make(mpo.Config(**settings), task, future.make(future.Config()))


def some_values(seed: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and values of 5 actions at 20 states."""
    rng = np.random.default_rng(seed)
    return log_softmax(rng.normal(size=(20, 5)), axis=1), rng.normal(size=(20, 5)) * scale


def dual(log_prior: np.ndarray, value: np.ndarray, epsilon: float, temperature: float) -> float:
    """Abdolmaleki et al. (2018, section 4.1)."""
    each = logsumexp(log_prior + value / temperature, axis=1)
    return temperature * epsilon + temperature * each.mean()


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
def test_the_temperature_minimises_the_dual(scale, epsilon):
    log_prior, value = some_values(0, scale)
    least = minimize_scalar(
        lambda log: dual(log_prior, value, epsilon, np.exp(log)),
        bounds=(np.log(1e-3), np.log(1e3)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    found = mpo.temperature_of(jnp.asarray(log_prior), jnp.asarray(value), epsilon)
    np.testing.assert_allclose(found, np.exp(least.x), rtol=2e-3)
    kl = mpo.divergence(jnp.asarray(log_prior), jnp.asarray(value), found)
    np.testing.assert_allclose(kl, epsilon, rtol=2e-3)


def test_values_all_alike_leave_the_policy_as_it_is():
    """The paper's argument: then q is pi, at any temperature."""
    log_prior = jnp.asarray(some_values(0, 1.0)[0])
    value = jnp.full((20, 5), -3.0)
    found = mpo.temperature_of(log_prior, value, 0.1)
    np.testing.assert_allclose(found, 1e-3, rtol=1e-5)
    np.testing.assert_allclose(mpo.divergence(log_prior, value, found), 0, atol=1e-3)


def test_the_divergence_is_that_from_the_policy_to_q():
    log_prior, value = some_values(1, 1.0)
    q = np.exp(log_prior) * np.exp(value / 0.7)
    q /= q.sum(1, keepdims=True)
    expected = (q * np.log(q / np.exp(log_prior))).sum(1).mean()
    got = mpo.divergence(jnp.asarray(log_prior), jnp.asarray(value), 0.7)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


class Tiny(NamedTuple):
    """A learner whose average is not its critic, and a batch for it."""

    task: Task
    state: Any
    batch: Batch


@pytest.fixture(scope="module")
def tiny(task, random_episodes) -> Tiny:
    rng, algorithm = np.random.default_rng(0), make(task, hidden_dims=(4,))
    episodes = random_episodes(rng, task, [5] * ROWS)
    state = algorithm.observe(algorithm.init(jax.random.key(1)), episodes)
    state = state._replace(target_critic=algorithm.init(jax.random.key(2)).target_critic)
    batch = Batch(
        obs=episodes.obs[:, 0],
        action=episodes.action[:, 0],
        next_obs=episodes.obs[:, 1],
        goal=episodes.goal,
        reward=np.array([0, 1, 0, 1, 0, 0], np.float32),
        discount=np.array([0.8, 0, 0.8, 0.8, 0.8, 0], np.float32),
        failed=np.array([False, False, True, False, True, True]),
        weight=rng.uniform(0.5, 2, ROWS).astype(np.float32),
        steps_to_goal=np.zeros(ROWS, np.int32),
        duration=np.ones(ROWS, np.float32),
    )
    return Tiny(task, state, batch)


@pytest.mark.parametrize(("reward", "low", "high"), [("0/1", 0, 1), ("-1/0", -5, 0)])
def test_the_critic_learns_the_policy_s_own_value(tiny, reward, low, high):
    _, state, batch = tiny
    _, metrics = make(tiny.task, hidden_dims=(4,), reward_scheme=reward).m_step(KEY, state, batch)
    pi = np.exp(log_probs(state.policy, "relu", batch.next_obs, batch.goal))
    slow = outputs(state.policy, "relu", batch.next_obs, batch.goal, state.target_critic)
    shift = -1 if reward == "-1/0" else 0
    following = np.where(batch.failed, shift / (1 - 0.8), (pi * slow).sum(1))
    wanted = batch.reward + shift + batch.discount * following
    now = outputs(state.policy, "relu", batch.obs, batch.goal, state.critic)
    error = np.clip(wanted, low, high) - now[np.arange(ROWS), batch.action]
    np.testing.assert_allclose(metrics["loss"], (batch.weight * error**2).mean(), rtol=1e-4)


@pytest.mark.parametrize("settings", [{"temperature": 0.3}, {"epsilon": 0.05}])
def test_the_policy_maximizes_the_likelihood_of_what_q_holds_likely(tiny, settings):
    _, state, batch = tiny
    algorithm = make(tiny.task, hidden_dims=(4,), **settings)
    after, metrics = algorithm.m_step(KEY, state, batch)
    chosen = settings.get("temperature", metrics["temperature"])
    np.testing.assert_allclose(metrics["temperature"], chosen)
    log_pi = log_probs(state.policy, "relu", batch.obs, batch.goal)
    value = outputs(state.policy, "relu", batch.obs, batch.goal, state.target_critic)
    q = softmax(log_pi + value / float(metrics["temperature"]), axis=1)
    kl = (q * (np.log(q) - log_pi)).sum(1).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-3)
    if "epsilon" in settings:
        np.testing.assert_allclose(kl, 0.05, rtol=1e-3)

    def objective(theta: np.ndarray) -> float:
        network = unflat(theta, state.policy.params.network)
        log_p = log_probs(state.policy, "relu", batch.obs, batch.goal, network)
        return float((batch.weight * (q * log_p).sum(1)).mean())

    expected = approx_fprime(flat(state.policy.params.network), objective)
    # Adam's first moment, at first: a tenth of the gradient of the loss.
    got = -10 * flat(after.policy_opt_state[0].mu[0])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_target_parameters_follow_slowly(tiny):
    after, _ = make(tiny.task, hidden_dims=(4,), polyak=0.9).m_step(KEY, tiny.state, tiny.batch)
    jax.tree.map(
        lambda old, new, towards: np.testing.assert_allclose(
            new, 0.9 * np.asarray(old) + 0.1 * np.asarray(towards), atol=1e-6
        ),
        tiny.state.target_critic,
        after.target_critic,
        after.critic,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_dims": (0,)},
        {"learning_rate": 0},
        {"epsilon": 0},
        {"batch_size": 0},
        {"samples": 0},
        {"relabel_ratio": 1.5},
        {"polyak": -0.1},
        {"temperature": -1},
        {"action_noise": -1},
        {"random_eps": 1.5},
        {"reward_scheme": "1/0"},
        {"target_clip": "some"},
        {"gamma": 1.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        mpo.Config(**wrong)


def test_exploration_of_the_other_kind_of_action_is_refused(task):
    with pytest.raises(UserError, match="action-noise"):
        make(task, action_noise=1.5)
    box = task._replace(action=Box((-1.0,), (1.0,)))
    with pytest.raises(UserError, match="random-eps"):
        make(box, random_eps=0.1)
    make(box, action_noise=1.5)


def last_row(env: str, **settings: Any) -> dict[str, Any]:
    loop = {
        "batch_size": 64,
        "hidden_dims": (64, 64),
        "episodes_per_iteration": 16,
        "buffer_episodes": 1000,
        "updates_per_iteration": 50,
    }
    experiment = make_experiment(env, "mpo", **loop | settings)
    built, algorithm = experiment.build()
    state = init_state(built.task, algorithm, 0, experiment.run.buffer_episodes)
    *_, last = iterations(built, algorithm, experiment.run, state, Counters())
    return last.row


@pytest.mark.slow
def test_few_bits_are_flipped_without_hindsight():
    row = last_row("FlipBit", bits=5, env_steps=4000, eval_interval=4000)
    assert row["eval/success_rate"] > 0.95


@pytest.mark.slow
def test_many_bits_are_not_for_q_is_the_policy():
    """Once the critic has forgotten its beginning, for which a small discount makes it quick."""
    settings = {"temperature": 0.1, "gamma": 0.5, "polyak": 0.95}
    settings |= {"bits": 14, "env_steps": 8000, "eval_interval": 8000}
    without, relabelled = (last_row("FlipBit", relabel_ratio=r, **settings) for r in (0.0, 0.8))
    assert without["eval/success_rate"] < 0.05
    assert without["train/kl"] < 0.01 < relabelled["train/kl"]


@pytest.mark.slow
def test_a_point_is_moved_with_hindsight():
    settings = {"dim": 1, "horizon": 15, "env_steps": 6000, "eval_interval": 6000, "samples": 8}
    row = last_row("Navigation", relabel_ratio=0.8, polyak=0.98, **settings)
    assert row["eval/success_rate"] > 0.9
