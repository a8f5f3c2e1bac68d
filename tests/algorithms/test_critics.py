"""Ensembles of critics, layer normalization and rarer actor updates, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.algorithms import hem_her, her
from hem.errors import UserError
from hem.hindsight import future
from hem.learners import critic as critics
from hem.models.distributions import deviation
from hem.replay import buffer as ring
from hem.replay import estep
from hem.types import Algorithm, Batch, Box, Discrete, Index, Task

ROWS, GAMMA = 6, 0.8
BOX = Box((-1.0, -1.0), (1.0, 1.0))


def make(task: Task, module: Any = her, **settings: Any) -> Algorithm:
    config = module.Config(hidden_dims=(4,), gamma=GAMMA, **settings)
    return module.make(config, task._replace(action=BOX), future.make(future.Config()))


@pytest.fixture
def batch(task, random_episodes) -> Batch:
    episodes = random_episodes(
        np.random.default_rng(0), task._replace(action=BOX), [task.horizon] * ROWS
    )
    return Batch(
        obs=episodes.obs[:, 0],
        action=episodes.action[:, 0],
        next_obs=episodes.obs[:, 1],
        goal=episodes.goal,
        reward=np.float32([0, 1, 0, 0.8, 0, 0]),
        discount=np.float32([0.8, 0, 0.64, 0, 0.8, 0.64]),
        failed=np.array([False, False, True, False, True, False]),
        weight=np.float32([1, 0.5, 2, 1, 1, 0.7]),
        steps_to_goal=np.int32([1, 2, 0, 3, 0, 1]),
        duration=np.float32([1, 1, 1.8, 1.8, 1, 1.8]),
    )


def perceptron(parameters: Any, x: np.ndarray) -> np.ndarray:
    layers = parameters["params"]
    hidden = x @ np.asarray(layers["Dense_0"]["kernel"]) + layers["Dense_0"]["bias"]
    if "LayerNorm_0" in layers:
        norm = layers["LayerNorm_0"]
        centred = hidden - hidden.mean(1, keepdims=True)
        hidden = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-6)
        hidden = hidden * norm["scale"] + norm["bias"]
    return (
        np.maximum(hidden, 0) @ np.asarray(layers["Dense_1"]["kernel"]) + layers["Dense_1"]["bias"]
    )


def seen(state: Any, batch: Batch, obs: np.ndarray) -> np.ndarray:
    return np.concatenate([np.clip(x.reshape(ROWS, -1), -5, 5) for x in (obs, batch.goal)], axis=1)


def values(parameters: list, x: np.ndarray, action: np.ndarray) -> np.ndarray:
    return np.stack([perceptron(p, np.concatenate([x, action], axis=1))[:, 0] for p in parameters])


def losses(state: Any, batch: Batch) -> list[float]:
    """The mean Bellman error of the critics, for each pair that may give the targets."""
    then, now = (seen(state, batch, obs) for obs in (batch.next_obs, batch.obs))
    following = values(state.target_critic, then, np.tanh(perceptron(state.target_actor, then)))
    q = values(state.critic, now, batch.action)
    found = []
    for pair in itertools.combinations(range(len(q)), 2):
        value = np.where(batch.failed, -1 / (1 - GAMMA), following[list(pair)].min(axis=0))
        target = batch.reward - batch.duration + batch.discount * value
        target = np.clip(target, -1 / (1 - GAMMA), 0)
        found.append(float((batch.weight * (target - q) ** 2).mean()))
    return found


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("number", [2, 4])
def test_targets_take_the_lower_value_of_a_random_pair(task, batch, number, layer_norm):
    algorithm = make(task, n_critics=number, critic_layer_norm=layer_norm)
    state = algorithm.init(jax.random.key(0))
    other = algorithm.init(jax.random.key(1))
    state = state._replace(target_critic=other.target_critic, target_actor=other.target_actor)
    possible = losses(state, batch)
    step = jax.jit(lambda key: algorithm.m_step(key, state, batch)[1]["loss"])
    found = [float(step(jax.random.key(seed))) for seed in range(1 if number == 2 else 60)]
    nearest = [possible[np.argmin(np.abs(np.subtract(possible, loss)))] for loss in found]
    np.testing.assert_allclose(found, nearest, rtol=1e-4)
    assert set(nearest) == set(possible)  # each pair, sooner or later; some give the same


def test_the_lower_value_is_of_two_different_critics():
    keys = jax.random.split(jax.random.key(0), 200)
    drawn = jax.vmap(lambda key: critics.lowest_of_pair(key, jnp.float32([[3], [1], [2]])))(keys)
    share = [(np.asarray(drawn) == x).mean() for x in (1, 2, 3)]
    assert share[2] == 0  # it would be in a ninth, were a critic its own partner
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 0], atol=0.12)


def test_the_actor_maximizes_the_mean_of_all_critics(task, batch):
    """A move of the actor along its step raises the mean value; the critics are those before."""
    algorithm = make(task, n_critics=3, action_penalty=0.0, learning_rate=1e-4)
    state = algorithm.init(jax.random.key(0))
    now = seen(state, batch, batch.obs)

    def objective(network: Any) -> float:
        q = values(state.critic, now, np.tanh(perceptron(network, now)))
        return float((batch.weight * q.mean(axis=0)).mean())

    after, metrics = algorithm.m_step(jax.random.key(0), state, batch)
    network = state.policy.params.network
    q = values(state.critic, now, np.tanh(perceptron(network, now)))
    np.testing.assert_allclose(metrics["value"], q.mean(), rtol=1e-4)
    # Adam's first step is the learning rate in each direction in which the objective rises.
    kernel = np.array(network["params"]["Dense_1"]["kernel"], np.float64)
    moved = np.asarray(after.policy.params.network["params"]["Dense_1"]["kernel"]) - kernel
    for index in np.ndindex(kernel.shape):
        rise = []
        for sign in (1, -1):
            changed = kernel.copy()
            changed[index] += sign * 1e-3
            layers = network["params"] | {
                "Dense_1": network["params"]["Dense_1"] | {"kernel": changed}
            }
            rise.append(objective({"params": layers}))
        if abs(rise[0] - rise[1]) > 1e-5:
            assert np.sign(moved[index]) == np.sign(rise[0] - rise[1])


@pytest.mark.parametrize("module", [her, hem_her])
def test_a_delayed_actor_moves_with_every_third_update_of_its_critics(task, batch, module):
    algorithm = make(task, module, policy_delay=3, n_critics=2)
    m_step, state = jax.jit(algorithm.m_step), algorithm.init(jax.random.key(0))
    actor_moved = []
    for number in range(6):
        after, metrics = m_step(jax.random.key(number), state, batch)
        now = seen(state, batch, batch.obs)
        q = values(state.critic, now, np.tanh(perceptron(state.policy.params.network, now)))
        actor_moved.append(differ(after.policy, state.policy))
        assert metrics["value"].denominator == actor_moved[-1]
        np.testing.assert_allclose(
            metrics["value"].numerator, q.mean() * actor_moved[-1], rtol=1e-4
        )
        assert differ(after.critic, state.critic)
        state = after
    assert actor_moved == [False, False, True] * 2


@pytest.mark.parametrize("curvature", [20.0, 80.0])
def test_a_policy_is_as_spread_as_its_values_are_flat(task, batch, monkeypatch, curvature):
    """The mean of -c/2 (u - u*)^2 over a Gaussian, plus h log std, is largest at std^2 = h / c."""

    def parabola(*_: Any) -> critics.Critic:
        def value(parameters: Any, state: Any, obs: Any, goal: Any, action: Any) -> jax.Array:
            return -curvature / 2 * action[:, 0] ** 2 + 0 * parameters

        return critics.Critic(lambda key: jnp.zeros(()), value)

    monkeypatch.setattr(critics, "make", parabola)
    algorithm = make(task, ent_coef=0.2, action_penalty=0.0, learning_rate=0.02)
    m_step, state = jax.jit(algorithm.m_step), algorithm.init(jax.random.key(0))
    even = batch._replace(weight=np.ones(ROWS, np.float32))
    found = []
    for number in range(2000):
        state, _ = m_step(jax.random.key(number), state, even)
        found.append(np.asarray(deviation(state.policy.params.distribution)))
    sharp, flat = np.mean(found[1000:], axis=0)
    np.testing.assert_allclose(sharp, np.sqrt(0.2 / curvature), rtol=0.1)
    assert 1 <= flat < 1.5  # and no more, but for the momentum of Adam


def test_exploration_has_the_spread_of_the_policy(task):
    algorithm = make(task, ent_coef=0.1, random_eps=0.0)
    state = algorithm.init(jax.random.key(0))
    params = state.policy.params._replace(distribution=jnp.array([0.5, 2.0]))
    state = state._replace(policy=state.policy._replace(params=params))
    obs, goal = (
        np.zeros((4000, *shape), np.float32) for shape in (task.obs_shape, task.goal_shape)
    )
    keys = jax.random.split(jax.random.key(0), 4000)
    wanted = np.asarray(deviation(params.distribution))
    assert (wanted < 0.2).all()  # so that hardly a sample is clipped
    taken = np.asarray(algorithm.act(keys, state, obs, goal, True))
    np.testing.assert_allclose(taken.std(axis=0), wanted, rtol=0.05)
    assert np.ptp(algorithm.act(keys, state, obs, goal, False)) == 0


def differ(a: Any, b: Any) -> bool:
    pairs = zip(*map(jax.tree.leaves, (a, b)), strict=True)
    return any((np.asarray(x) != np.asarray(y)).any() for x, y in pairs)


def test_one_critic_is_stored_as_before_there_were_several(task):
    """So that older checkpoints can be resumed."""
    assert make(task).init(jax.random.key(0)).critic.keys() == {"params"}


def test_more_steps_than_an_episode_has_are_those_it_has(task, random_episodes):
    replay = ring.add(
        ring.init(task._replace(action=BOX), 2),
        random_episodes(np.random.default_rng(0), task._replace(action=BOX), [5, 3]),
    )
    batches = [
        algorithm.e_step(jax.random.key(0), algorithm.init(jax.random.key(0)), replay)
        for algorithm in (make(task, n_steps=n) for n in (task.horizon, 2**31 - 1))
    ]
    jax.tree.map(np.testing.assert_array_equal, *batches)


def test_critics_start_apart(task):
    first, second = make(task, n_critics=2).init(jax.random.key(0)).critic
    assert differ(first, second)


@pytest.mark.parametrize(
    "settings",
    [{"n_critics": 2}, {"critic_layer_norm": True}, {"policy_delay": 2}, {"ent_coef": 0.1}],
)
def test_with_discrete_actions_there_is_no_critic_to_set(task, settings):
    config = her.Config(**settings)
    discrete = task._replace(action=Discrete(3))
    with pytest.raises(UserError, match=next(iter(settings)).replace("_", "-")):
        her.make(config, discrete, future.make(future.Config()))


def test_noise_beside_a_policy_s_own_is_refused():
    with pytest.raises(UserError, match="action-noise"):
        her.Config(ent_coef=0.1, action_noise=0.3)


def test_more_critics_than_anyone_trains_are_refused():
    with pytest.raises(UserError, match="n-critics must be at most 100, not 101"):
        her.Config(n_critics=101)


@pytest.mark.parametrize("setting", ["n_critics", "n_steps", "policy_delay"])
def test_less_than_one_is_refused(setting):
    with pytest.raises(UserError, match=setting.replace("_", "-")):
        her.Config(**{setting: 0})


@pytest.mark.parametrize("n_steps", [1, 3])
def test_of_an_episode_that_fails_only_the_step_that_fails_is_not_imitated(
    task, random_episodes, monkeypatch, n_steps
):
    monkeypatch.setattr(her, "learner", lambda config, task, strategy, auxiliary: auxiliary)
    imitation_loss = make(task, hem_her, eta=0.5, n_steps=n_steps)
    task = task._replace(action=BOX)
    lengths, failed = np.array([5, 3, 4]), np.array([True, True, False])
    episodes = random_episodes(np.random.default_rng(0), task, lengths)._replace(failed=failed)
    replay = ring.add(ring.init(task, 3), episodes)
    steps = [Index(*at) for at in np.ndindex(3, task.horizon) if at[1] < lengths[at[0]]]
    index = Index(*(np.array(part) for part in zip(*steps, strict=True)))
    goal = estep.desired_goal(replay, index.episode)
    batch = estep.transitions(replay, task, index, goal, index.step + 1, GAMMA, n_steps)

    class Sure:
        @staticmethod
        def log_prob(state: Any, obs: Any, goal: Any, action: Any) -> Any:
            return jnp.ones(len(obs))

    loss = imitation_loss(Sure, None, batch, jnp.ones(len(steps)))
    np.testing.assert_allclose(loss, -0.5 * (len(steps) - 2) / len(steps), rtol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"ent_coef": 0.1}])
def test_an_action_is_compared_with_that_of_the_policy_not_with_a_sample(task, batch, settings):
    found = []

    def auxiliary(policy: Any, candidate: Any, batch: Any, advantage: Any) -> jax.Array:
        jax.debug.callback(found.append, advantage)
        return jnp.zeros(())

    task, strategy = task._replace(action=BOX), future.make(future.Config())
    config = hem_her.Config(hidden_dims=(4,), gamma=GAMMA, **settings)
    algorithm = her.learner(config, task, strategy, auxiliary)
    state = algorithm.init(jax.random.key(0))
    own = algorithm.policy.greedy(state.policy, batch.obs, batch.goal)
    algorithm.m_step(jax.random.key(0), state, batch._replace(action=own))
    jax.effects_barrier()
    np.testing.assert_allclose(found[0], np.zeros(ROWS), atol=1e-6)


@pytest.mark.parametrize("module", [her, hem_her])
def test_without_relabeled_goals_there_are_none_to_skip(module):
    with pytest.raises(UserError, match=r"^skip-achieved has no effect with --relabel-ratio 0"):
        module.Config(relabel_ratio=0.0, skip_achieved=True)
