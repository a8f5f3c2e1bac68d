"""HER against NumPy: targets, losses and steps; what it is without relabeling; that it learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.algorithms import hem_her, her
from hem.errors import UserError
from hem.hindsight import future
from hem.learners import critic as critics
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Batch, Box, Discrete, Task

ROWS, RATE = 6, 0.01
BOX = Box((-1.0, 0.0), (3.0, 0.5))
KINDS = {"discrete": Discrete(3), "box": BOX}
HALF, CENTRE = np.array([2.0, 0.25]), np.array([1.0, 0.25])


def make(task: Task, module: Any = her, **settings: Any) -> Algorithm:
    return module.make(module.Config(**settings), task, future.make(future.Config()))


class Tiny(NamedTuple):
    """Learners with small networks, statistics and averages of their own, and a batch for them."""

    task: Task
    state: Any
    batch: Batch


@pytest.fixture(scope="module", params=KINDS)
def tiny(request, task, random_episodes) -> Tiny:
    rng, task = np.random.default_rng(0), task._replace(action=KINDS[request.param])
    algorithm = make(task, hidden_dims=(4,))
    episodes = random_episodes(rng, task, [5] * ROWS)
    state = algorithm.observe(algorithm.init(jax.random.key(0)), episodes)
    other = algorithm.init(jax.random.key(1))  # the targets' parameters are others
    if request.param == "discrete":
        state = state._replace(target_network=other.target_network)
    else:
        state = state._replace(target_actor=other.target_actor, target_critic=other.target_critic)
    batch = Batch(
        obs=episodes.obs[:, 0],
        action=episodes.action[:, 0],
        next_obs=episodes.obs[:, 1],
        goal=episodes.goal,
        reward=np.float32([0, 1, 0, 1, 0, 0]),
        discount=np.float32([0.8, 0, 0.8, 0.8, 0.8, 0]),
        failed=np.array([False, False, True, False, True, True]),
        weight=rng.uniform(0.5, 2, ROWS).astype(np.float32),
        steps_to_goal=np.int32([1, 2, 0, 3, 0, 1]),
        duration=np.ones(ROWS, np.float32),
    )
    return Tiny(task, state, batch)


def perceptron(parameters: Any, x: np.ndarray) -> np.ndarray:
    first, second = (parameters["params"][f"Dense_{i}"] for i in (0, 1))
    hidden = np.maximum(x @ np.asarray(first["kernel"]) + first["bias"], 0)
    return hidden @ np.asarray(second["kernel"]) + second["bias"]


def normalized(stats: Any, x: np.ndarray) -> np.ndarray:
    std = np.maximum(np.sqrt(stats.m2 / stats.seen), 1e-2)
    return np.clip((x.reshape(len(x), -1) - stats.mean) / std, -5, 5)


def seen(tiny: Tiny, obs: np.ndarray) -> np.ndarray:
    policy = tiny.state.policy
    parts = normalized(policy.obs, obs), normalized(policy.goal, tiny.batch.goal)
    return np.concatenate(parts, axis=1)


def actor(parameters: Any, x: np.ndarray) -> np.ndarray:
    return CENTRE + HALF * np.tanh(perceptron(parameters, x))


def value(parameters: Any, x: np.ndarray, action: np.ndarray) -> np.ndarray:
    unit = (action - CENTRE) / HALF
    return perceptron(parameters, np.concatenate([x, unit], axis=1))[:, 0]


def expected_target(tiny: Tiny, reward: str, low: float, high: float, double: bool) -> np.ndarray:
    state, batch = tiny.state, tiny.batch
    then = seen(tiny, batch.next_obs)
    if isinstance(tiny.task.action, Discrete):
        slow, online = (
            perceptron(state.target_network, then),
            perceptron(state.policy.params.network, then),
        )
        following = slow[np.arange(ROWS), (online if double else slow).argmax(1)]
    else:
        following = value(state.target_critic, then, actor(state.target_actor, then))
    shift = -1 if reward == "-1/0" else 0
    following = np.where(batch.failed, shift / (1 - 0.8), following)  # never again
    return np.clip(batch.reward + shift + batch.discount * following, low, high)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(
    ("reward", "clip", "ends", "low", "high"),
    [
        ("-1/0", "range", True, -5, 0),
        ("0/1", "range", True, 0, 1),
        ("0/1", "range", False, 0, 5),
        ("0/1", "baselines", True, -5, 0),
        ("0/1", "none", True, -np.inf, np.inf),
    ],
)
def test_the_critic_s_loss_is_the_bellman_error(tiny, reward, clip, ends, low, high, double):
    task = tiny.task._replace(terminates_on_success=ends)
    settings = {"reward_scheme": reward, "target_clip": clip, "gamma": 0.8}
    if isinstance(task.action, Discrete):
        settings["double_q"] = double
    algorithm = make(task, hidden_dims=(4,), **settings)
    _, metrics = algorithm.m_step(jax.random.key(0), tiny.state, tiny.batch)
    target = expected_target(tiny, reward, low, high, double)
    now = seen(tiny, tiny.batch.obs)
    if isinstance(task.action, Discrete):
        q = perceptron(tiny.state.policy.params.network, now)[np.arange(ROWS), tiny.batch.action]
    else:
        q = value(tiny.state.critic, now, tiny.batch.action)
    wanted = (tiny.batch.weight * (target - q) ** 2).mean()
    np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-4)


def test_the_default_discount_is_one_less_a_share_of_the_horizon(tiny):
    experiment = critics.returns_of(tiny.task._replace(horizon=50), "-1/0", "range", None)
    assert experiment == (-1, 0.98, pytest.approx(-50), pytest.approx(-50), 0)


def first_step_of_adam(gradient: Any) -> Any:
    """A first step of Adam goes by the learning rate against the gradient's sign."""
    return jax.tree.map(lambda g: -RATE * np.asarray(g) / (np.abs(g) + 1e-8), gradient)


def objective_of(tiny: Tiny, penalty: float, eta: float = 0.0, q_filter: bool = False):
    """What the actor maximizes, as a function of its network, written again."""
    x, batch = jnp.asarray(seen(tiny, tiny.batch.obs), jnp.float32), tiny.batch

    def layers(parameters, x):
        first, second = (parameters["params"][f"Dense_{i}"] for i in (0, 1))
        return (
            jnp.maximum(x @ first["kernel"] + first["bias"], 0) @ second["kernel"]
            + (second["bias"])
        )

    def q(unit):
        return layers(tiny.state.critic, jnp.concatenate([x, unit], axis=1))[:, 0]

    taken = (batch.action - CENTRE) / HALF

    def objective(network):
        unit = jnp.tanh(layers(network, x))
        total = jnp.mean(batch.weight * (q(unit) - penalty * (unit**2).mean(1)))
        std = 0.5
        log_prob = -0.5 * ((taken - unit) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi) * HALF)
        own_failure = batch.failed & (batch.duration == 1)
        counts = batch.weight * (batch.steps_to_goal > 0) * ~own_failure
        if q_filter:
            counts = counts * jax.lax.stop_gradient(q(taken) > q(unit))
        return total + eta * jnp.mean(counts * log_prob.sum(1))

    return objective


@pytest.mark.parametrize(
    ("eta", "q_filter"), [(0.0, False), (0.5, False), (0.5, True)], ids=["her", "hybrid", "filter"]
)
def test_the_actor_maximizes_the_critic_and_the_likelihood(tiny, eta, q_filter):
    if isinstance(tiny.task.action, Discrete):
        pytest.skip("there is no actor")
    settings = {"hidden_dims": (4,), "learning_rate": RATE, "action_penalty": 0.7}
    algorithm = make(tiny.task, hem_her, eta=eta, q_filter=q_filter, **settings)
    after, _ = algorithm.m_step(jax.random.key(0), tiny.state, tiny.batch)
    gradient = jax.grad(objective_of(tiny, 0.7, eta, q_filter))(tiny.state.policy.params.network)
    step = first_step_of_adam(jax.tree.map(lambda g: -g, gradient))
    moved = jax.tree.map(
        lambda a, b: np.asarray(a) - b,
        after.policy.params.network,
        tiny.state.policy.params.network,
    )
    # Where the gradient is nothing but rounding, its sign is too.
    jax.tree.map(
        lambda m, s, g: np.testing.assert_allclose(
            np.where(np.abs(g) > 1e-5, m, 0), np.where(np.abs(g) > 1e-5, s, 0), atol=1e-4
        ),
        moved,
        step,
        gradient,
    )


def better(tiny: Tiny) -> np.ndarray:
    """Which actions the critic values higher than the policy."""
    now = seen(tiny, tiny.batch.obs)
    if isinstance(tiny.task.action, Discrete):
        q = perceptron(tiny.state.policy.params.network, now)
        own = (np.exp(q) / np.exp(q).sum(1, keepdims=True) * q).sum(1)
        return q[np.arange(ROWS), tiny.batch.action] > own
    mine = value(tiny.state.critic, now, actor(tiny.state.policy.params.network, now))
    return value(tiny.state.critic, now, tiny.batch.action) > mine


def test_the_filter_counts_some_actions_and_not_others(tiny):
    """Those that do not count may be anything: the hybrid learns the same without them."""
    counts = better(tiny)
    relabelled = tiny.batch.steps_to_goal > 0
    assert counts[relabelled].any()
    assert not counts[relabelled].all()

    def after(q_filter, steps_to_goal):
        batch = tiny.batch._replace(steps_to_goal=np.int32(steps_to_goal))
        hybrid = make(tiny.task, hem_her, hidden_dims=(4,), eta=5.0, q_filter=q_filter)
        return hybrid.m_step(jax.random.key(0), tiny.state, batch)[0]

    filtered = after(True, relabelled)
    jax.tree.map(np.testing.assert_array_equal, filtered, after(False, relabelled & counts))
    plain = after(False, np.zeros(ROWS))
    for other in (plain, after(False, relabelled)):
        pairs = zip(*map(jax.tree.leaves, (filtered.policy, other.policy)), strict=True)
        assert any((a != b).any() for a, b in pairs)


def test_target_parameters_follow_slowly(tiny):
    algorithm = make(tiny.task, hidden_dims=(4,), polyak=0.9)
    after, _ = algorithm.m_step(jax.random.key(0), tiny.state, tiny.batch)
    if isinstance(tiny.task.action, Discrete):
        pairs = [(tiny.state.target_network, after.target_network, after.policy.params.network)]
    else:
        pairs = [
            (tiny.state.target_actor, after.target_actor, after.policy.params.network),
            (tiny.state.target_critic, after.target_critic, after.critic),
        ]
    for old, new, towards in pairs:
        jax.tree.map(
            lambda a, b, c: np.testing.assert_allclose(b, 0.9 * a + 0.1 * c, atol=1e-6),
            old,
            new,
            towards,
        )


def test_the_hybrid_without_its_likelihood_is_her_to_the_bit(tiny):
    states = [
        make(tiny.task, module, hidden_dims=(4,), **more).m_step(
            jax.random.key(0), tiny.state, tiny.batch
        )
        for module, more in ((her, {}), (hem_her, {"eta": 0.0}))
    ]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_the_discrete_hybrid_maximizes_the_softmax_of_its_values(tiny):
    if not isinstance(tiny.task.action, Discrete):
        pytest.skip("there is a policy of its own")
    plain, mixed = (
        make(tiny.task, hem_her, hidden_dims=(4,), learning_rate=1e-4, eta=eta)
        for eta in (0.0, 5.0)
    )

    def likelihood(state):
        q = perceptron(state.policy.params.network, seen(tiny, tiny.batch.obs))
        log_p = q - np.log(np.exp(q).sum(1, keepdims=True))
        counts = tiny.batch.weight * (tiny.batch.steps_to_goal > 0)
        return (counts * log_p[np.arange(ROWS), tiny.batch.action]).mean()

    def after(algorithm):
        return likelihood(algorithm.m_step(jax.random.key(0), tiny.state, tiny.batch)[0])

    assert after(mixed) > likelihood(tiny.state)
    assert after(mixed) > after(plain)


def test_four_goals_in_five_are_taken_in_hindsight_and_none_with_relabelling_off(
    tiny, random_episodes
):
    episodes = random_episodes(np.random.default_rng(0), tiny.task, [5, 4, 3])
    replay = ring.add(ring.init(tiny.task, 4), episodes)
    for relabelled, share in ((0.8, 0.8), (0.0, 0.0)):
        algorithm = make(tiny.task, relabel_ratio=relabelled, batch_size=4000)
        batch = algorithm.e_step(jax.random.key(0), tiny.state, replay)
        hindsight = np.asarray(batch.steps_to_goal) > 0
        assert abs(hindsight.mean() - share) < 0.03
        desired = (np.asarray(batch.goal)[:, None] == episodes.goal).all(-1).any(-1)
        assert desired[~hindsight].all()
        assert set(np.unique(batch.discount)) <= {0.0, np.float32(1 - 1 / tiny.task.horizon)}


def test_exploration_mixes_noise_and_random_actions(tiny, random_episodes):
    episodes = random_episodes(np.random.default_rng(0), tiny.task, [5])
    obs, goal = (np.repeat(x, 4000, axis=0) for x in (episodes.obs[:, 0], episodes.goal))
    keys = jax.random.split(jax.random.key(0), 4000)
    discrete = isinstance(tiny.task.action, Discrete)

    def acted(random, noise=0.0):
        settings = {"random_eps": random}
        settings |= {} if discrete else {"action_noise": noise}
        algorithm = make(tiny.task, hidden_dims=(4,), **settings)
        greedy, taken = (algorithm.act(keys, tiny.state, obs, goal, e) for e in (False, True))
        return np.asarray(greedy), np.asarray(taken)

    greedy, taken = acted(random=0.0)
    np.testing.assert_allclose(taken, greedy, atol=1e-6)
    greedy, taken = acted(random=1.0)
    if discrete:
        np.testing.assert_allclose(np.bincount(taken) / 4000, 1 / 3, atol=0.03)
    else:
        np.testing.assert_allclose((taken.mean(0) - CENTRE) / HALF, 0, atol=0.05)
        np.testing.assert_allclose(taken.std(0), 2 * HALF / np.sqrt(12), rtol=0.05)
    greedy, taken = acted(random=0.4)
    changed = (taken != greedy).reshape(4000, -1).any(1).mean()
    assert abs(changed - (0.4 * 2 / 3 if discrete else 0.4)) < 0.03
    if not discrete:
        greedy, taken = acted(random=0.0, noise=0.1)
        inside = np.abs((greedy[0] - CENTRE) / HALF) < 0.7
        spread = ((taken - greedy) / HALF).std(0)
        np.testing.assert_allclose(spread[inside], 0.1, rtol=0.06)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reward_scheme": "1/0"}, "reward-scheme"),
        ({"target_clip": "some"}, "target-clip"),
        ({"gamma": 1.0}, "gamma"),
        ({"relabel_ratio": 1.5}, "relabel-ratio"),
        ({"polyak": -0.1}, "polyak"),
        ({"action_penalty": -1}, "action-penalty"),
        ({"hidden_dims": (0,)}, "hidden-dims"),
        ({"eta": -1.0}, "eta"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        hem_her.Config(**settings)


def learned(env: str, algo: str, **settings: Any) -> float:
    experiment = make_experiment(env, algo, **settings)
    built, algorithm = experiment.build()
    state = init_state(built.task, algorithm, 0, experiment.run.buffer_episodes)
    rows = [s.row for s in iterations(built, algorithm, experiment.run, state, Counters())]
    return max(row.get("eval/success_rate", 0) for row in rows)


LOOP = {
    "batch_size": 64,
    "hidden_dims": (64, 64),
    "episodes_per_iteration": 16,
    "buffer_episodes": 1000,
}


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["her", "hem-her"])
def test_bits_are_flipped(algo):
    settings = {
        "bits": 8,
        "env_steps": 8000,
        "eval_interval": 4000,
        "updates_per_iteration": 100,
    } | LOOP
    assert learned("FlipBit", algo, **settings) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["her", "hem-her"])
def test_a_point_is_steered(algo):
    settings = {
        "dim": 2,
        "horizon": 25,
        "env_steps": 8000,
        "eval_interval": 4000,
        "updates_per_iteration": 60,
    }
    assert learned("Navigation", algo, **settings | LOOP) > 0.9


@pytest.mark.slow
def test_without_relabelling_many_bits_are_not():
    settings = {
        "bits": 14,
        "env_steps": 8000,
        "eval_interval": 4000,
        "updates_per_iteration": 50,
    } | LOOP
    assert learned("FlipBit", "her", relabel_ratio=0.0, **settings) < 0.2
