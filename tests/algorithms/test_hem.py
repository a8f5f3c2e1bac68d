"""The M-step against Equation 7 in NumPy, and against what the paper proves of it."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from scipy.stats import norm

from hem.algorithms import hem
from hem.algorithms.hem import HemState
from hem.errors import UserError
from hem.hindsight import future
from hem.models import inputs
from hem.replay import buffer as ring
from hem.training.rollout import collector
from hem.types import Algorithm, Batch, Box, Discrete, JaxEnv, Task

ROWS, RATE = 6, 0.01
BOX = Box((-1.0, 0.0), (3.0, 0.5))
KINDS = {"discrete": Discrete(3), "box": BOX}


def make(task: Task, **settings) -> Algorithm:
    return hem.make(hem.Config(**settings), task, future.make(future.Config()))


class Tiny(NamedTuple):
    """A learner with a small network and statistics, and a batch for it."""

    algorithm: Algorithm
    state: HemState
    batch: Batch
    action: Discrete | Box


@pytest.fixture(scope="module", params=KINDS)
def tiny(request, task, random_episodes) -> Tiny:
    rng, task = np.random.default_rng(0), task._replace(action=KINDS[request.param])
    algorithm = make(task, hidden_dims=(4,), learning_rate=RATE)
    episodes = random_episodes(rng, task, [5] * ROWS)
    state = algorithm.observe(algorithm.init(jax.random.key(0)), episodes)
    batch = Batch(
        obs=episodes.obs[:, 0],
        action=episodes.action[:, 0],
        next_obs=episodes.obs[:, 1],
        goal=episodes.goal,
        reward=np.zeros(ROWS, np.float32),
        discount=np.ones(ROWS, np.float32),
        failed=np.zeros(ROWS, bool),
        weight=rng.uniform(0.5, 2, ROWS).astype(np.float32),
        steps_to_goal=np.ones(ROWS, np.int32),
        duration=np.ones(ROWS, np.float32),
    )
    return Tiny(algorithm, state, batch, task.action)


def equation_7(tiny: Tiny, params) -> float:
    """-1/B sum w log pi(a | s, g), written out in NumPy."""
    (network, distribution), batch, policy = params, tiny.batch, tiny.state.policy

    def normalized(stats, x):
        std = np.sqrt(np.asarray(stats.m2, np.float64) / stats.seen)
        return np.clip((x - np.asarray(stats.mean, np.float64)) / std, -5, 5)

    x = np.concatenate([normalized(policy.obs, batch.obs), normalized(policy.goal, batch.goal)], 1)
    first, last = network["params"]["Dense_0"], network["params"]["Dense_1"]
    x = np.maximum(x @ first["kernel"] + first["bias"], 0) @ last["kernel"] + last["bias"]
    if isinstance(tiny.action, Discrete):
        log_prob = log_softmax(x, axis=1)[np.arange(ROWS), batch.action]
    else:
        low, high = np.array(BOX.low), np.array(BOX.high)
        mean = (low + high) / 2 + (high - low) / 2 * x
        std = (high - low) / 2 * np.exp(-4 + np.logaddexp(0, distribution))
        log_prob = norm.logpdf(batch.action, mean, std).sum(1)
    return -np.mean(batch.weight * log_prob)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)])


def unflat(vector: np.ndarray, like):
    """A tree shaped as ``like`` out of all its numbers."""
    leaves, structure = jax.tree.flatten(like)
    parts = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def m_step(tiny: Tiny, state: HemState, batch: Batch) -> tuple[HemState, dict]:
    return jax.jit(tiny.algorithm.m_step)(jax.random.key(0), state, batch)


def test_loss_is_equation_7(tiny):
    _, metrics = m_step(tiny, tiny.state, tiny.batch)
    assert set(metrics) == {"loss", "elbo"}
    np.testing.assert_allclose(
        metrics["loss"], equation_7(tiny, tiny.state.policy.params), rtol=1e-4
    )


def test_m_steps_are_adam_s_with_the_gradient_of_equation_7(tiny):
    """Kingma & Ba (2015, Algorithm 1), on finite differences."""
    state, like = tiny.state, tiny.state.policy.params
    theta = flat(like)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for step in (1, 2, 3):
        gradient = approx_fprime(theta, lambda x: equation_7(tiny, unflat(x, like)))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        ascent = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        theta = theta - RATE * ascent * (np.abs(gradient) > 1e-6)  # below is rounding
        state, _ = m_step(tiny, state, tiny.batch)
        np.testing.assert_allclose(flat(state.opt_state[0].mu), m, atol=1e-5)
        np.testing.assert_allclose(flat(state.policy.params), theta, atol=1e-5)


def test_an_m_step_leaves_the_statistics_alone(tiny):
    state, _ = m_step(tiny, tiny.state, tiny.batch)
    before, after = ((s.policy.obs, s.policy.goal) for s in (tiny.state, state))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_rows_without_weight_do_not_matter(tiny):
    weight = tiny.batch.weight * (np.arange(ROWS) % 2)
    batch = tiny.batch._replace(weight=weight)
    changed = batch._replace(
        obs=np.where(weight[:, None] == 0, 3, batch.obs),
        goal=np.where(weight[:, None] == 0, 0, batch.goal),
        action=np.where(weight.reshape(-1, *[1] * (batch.action.ndim - 1)) == 0, 1, batch.action),
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        m_step(tiny, tiny.state, batch),
        m_step(tiny, tiny.state, changed),
    )


def test_reward_discount_and_next_observation_are_never_looked_at(tiny):
    batch = tiny.batch
    changed = batch._replace(
        reward=batch.reward + 1, discount=0 * batch.discount, next_obs=batch.next_obs + 1
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        m_step(tiny, tiny.state, batch),
        m_step(tiny, tiny.state, changed),
    )


@pytest.mark.parametrize("decay", [0.75, 1.0])
def test_the_moving_average_is_for_acting_once_trained(tiny, task, decay):
    """M-steps and exploration are as without it; 1 is the mean of all updates."""
    settings = {"hidden_dims": (4,), "learning_rate": RATE, "ema_decay": decay}
    algorithm = make(task._replace(action=tiny.action), **settings)
    averaging = algorithm.init(jax.random.key(0))
    averaging = averaging._replace(
        policy=averaging.policy._replace(obs=tiny.state.policy.obs, goal=tiny.state.policy.goal)
    )
    plain, mean = tiny.state, None
    for n in range(1, 9):
        key = jax.random.key(n)
        plain, metrics = jax.jit(tiny.algorithm.m_step)(key, plain, tiny.batch)
        averaging, others = jax.jit(algorithm.m_step)(key, averaging, tiny.batch)
        latest = flat(plain.policy.params)
        mean = latest if n == 1 else mean + max(1 - decay, 1 / n) * (latest - mean)
        np.testing.assert_allclose(flat(averaging.latest), latest, atol=1e-6)
        np.testing.assert_allclose(flat(averaging.policy.params), mean, atol=1e-6)
        np.testing.assert_allclose(others["loss"], metrics["loss"], atol=1e-5)
    assert np.abs(mean - latest).max() > RATE

    batch, keys = tiny.batch, jax.random.split(jax.random.key(0), ROWS)
    trained = plain._replace(policy=averaging.policy)
    for explore, expected in ((True, plain), (False, trained)):
        np.testing.assert_allclose(
            algorithm.act(keys, averaging, batch.obs, batch.goal, explore),
            tiny.algorithm.act(keys, expected, batch.obs, batch.goal, explore),
            atol=1e-5,
        )


def test_noise_and_temperature_are_for_exploring_only(task):
    obs, goal = np.ones((500, 3), np.float32), np.ones((500, 2), np.int8)
    keys = jax.random.split(jax.random.key(1), 500)

    def spread(noise: float, explore: bool, **settings) -> int:
        algorithm = make(
            task._replace(action=Discrete(50)), hidden_dims=(4,), random_eps=noise, **settings
        )
        state = algorithm.init(jax.random.key(0))
        return len(np.unique(algorithm.act(keys, state, obs, goal, explore)))

    assert spread(1.0, True) > 45
    assert spread(1.0, False) == 1
    assert spread(0.0, True) > 10
    assert spread(0.0, True, temperature=1e-4) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_dims": (3, 0)},
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"action_noise": -0.1},
        {"random_eps": 1.5},
        {"temperature": 0},
        {"ema_decay": 1.1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        hem.Config(**wrong)


ARMS = 12


def one_armed_each() -> JaxEnv:
    """The paper's illustration: as many goals as actions, one step, and each action reaches one."""
    task = Task(
        name="Arms",
        obs_shape=(1,),
        obs_dtype=np.dtype(np.int8),
        goal_shape=(ARMS,),
        goal_dtype=np.dtype(np.int8),
        action=Discrete(ARMS),
        horizon=1,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=True,
        version_hash="Arms-v0",
    )

    def one_hot(number):
        return jax.nn.one_hot(number, ARMS, dtype=jnp.int8)

    return JaxEnv(
        task=task,
        reset=lambda key: (jnp.int32(-1), one_hot(jax.random.randint(key, (), 0, ARMS))),
        step=lambda key, state, action: action,
        observe=lambda state: (jnp.zeros(1, jnp.int8), one_hot(state)),
        render=lambda state, goal: np.zeros((1, 1, 3), np.uint8),
    )


def converged(env: JaxEnv, algorithm: Algorithm, episodes, statistics: bool) -> HemState:
    """All M-steps on the same episodes."""
    replay = ring.add(ring.init(env.task, len(episodes.length)), episodes)

    def update(state, key):
        return algorithm.m_step(key, state, algorithm.e_step(key, state, replay))[0], None

    @jax.jit
    def learn(state):
        return jax.lax.scan(update, state, jax.random.split(jax.random.key(2), 500))[0]

    state = algorithm.init(jax.random.key(0))
    return learn(algorithm.observe(state, episodes) if statistics else state)


def uniform_episodes(env: JaxEnv, n: int, seed: int):
    def act(keys, agent_state, obs, goal, explore):
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, ARMS))(keys)

    collect = collector(env, act, n, explore=True, ends=True)
    return collect(jax.random.key(seed), None, 0)


def goals_seen(episodes) -> np.ndarray:
    """Which goals were reached by some episode: the support of q(g)."""
    return np.isin(np.arange(ARMS), np.asarray(episodes.action))


def chance_of_success(algorithm: Algorithm, state: HemState) -> np.ndarray:
    """pi(g | g) for each goal g: action g is the one that reaches goal g."""
    goals, arms = np.eye(ARMS, dtype=np.int8), np.arange(ARMS, dtype=np.int32)
    obs = np.zeros((ARMS, 1), np.int8)
    return np.exp(algorithm.policy.log_prob(state.policy, obs, goals, arms))


def tabular(hidden: tuple[int, ...], outputs: int, *others: object) -> nn.Module:
    """The policy of the paper's illustration: a logit for each action and goal, at first 0."""
    return nn.Dense(outputs, use_bias=False, kernel_init=nn.initializers.zeros)


@pytest.mark.parametrize("n", [1, 8, 30])
def test_one_m_step_solves_the_goals_seen_and_leaves_the_others_to_chance(monkeypatch, n):
    """Theorem 2, Extra: J = |S|/k + (1 - |S|/k) / k, when logits of different goals are apart."""
    monkeypatch.setattr(inputs, "MLP", tabular)
    env = one_armed_each()
    algorithm = make(env.task, learning_rate=0.1)
    before = chance_of_success(algorithm, algorithm.init(jax.random.key(0)))
    np.testing.assert_allclose(before, 1 / ARMS, rtol=1e-5)

    episodes = uniform_episodes(env, n, seed=n)
    seen = goals_seen(episodes)
    # The inputs stay one-hot without statistics, and so a row of weights is of one goal.
    after = chance_of_success(algorithm, converged(env, algorithm, episodes, statistics=False))
    np.testing.assert_allclose(after[seen], 1, atol=0.01)
    np.testing.assert_allclose(after[~seen], 1 / ARMS, rtol=1e-5)
    share = seen.mean()
    np.testing.assert_allclose(after.mean(), share + (1 - share) / ARMS, atol=0.01)


def test_uniform_episodes_see_as_many_goals_as_the_paper_says():
    """E|S| = k (1 - (1 - 1/k)^N), from episodes in groups of N."""
    n, groups = 8, 2000
    actions = np.asarray(uniform_episodes(one_armed_each(), n * groups, seed=0).action)
    seen = [len(np.unique(group)) for group in actions.reshape(groups, n)]
    expected = ARMS * (1 - (1 - 1 / ARMS) ** n)
    assert abs(np.mean(seen) - expected) < 5 * np.std(seen) / np.sqrt(groups)


def test_a_network_reaches_every_goal_seen(monkeypatch):
    """Theorem 3's bound, J >= |supp q(g)| / |G|, with the real policy; others may be anything."""
    env = one_armed_each()
    algorithm = make(env.task, hidden_dims=(32,), learning_rate=0.01)
    episodes = uniform_episodes(env, 10, seed=0)
    seen = goals_seen(episodes)
    assert 0 < seen.sum() < ARMS
    state = converged(env, algorithm, episodes, statistics=True)
    assert (chance_of_success(algorithm, state)[seen] > 0.95).all()
    keys, goals = jax.random.split(jax.random.key(0), ARMS), np.eye(ARMS, dtype=np.int8)
    greedy = algorithm.act(keys, state, np.zeros((ARMS, 1), np.int8), goals, False)
    np.testing.assert_array_equal(greedy[seen], np.flatnonzero(seen))
