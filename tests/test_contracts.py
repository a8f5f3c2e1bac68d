"""Environments, strategies and algorithms keep the promises of ``hem.types``, all there are."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem import registry
from hem.replay import buffer as ring
from hem.training.learning import init_state, make_learn
from hem.training.rollout import collector
from hem.types import BatchedEnv, Box, Discrete, Index, JaxEnv

N, STEPS = 3, 2
ACTIONS = {"discrete": Discrete(3), "box": Box((-1.0, 0.0), (1.0, 3.0))}


def load(kind: str, name: str):
    """A registered module, and what it makes of its defaults."""
    module = registry.load(kind, name)
    assert name == module.NAME
    assert dataclasses.is_dataclass(module.Config)
    assert hash(module.Config()) == hash(module.Config())  # frozen, and so fit for a record
    return module


def some_actions(action: Discrete | Box, seed: int) -> np.ndarray:
    """N actions, the limits included."""
    rng = np.random.default_rng(seed)
    if isinstance(action, Discrete):
        return rng.integers(0, action.n, N).astype(action.dtype)
    drawn = rng.uniform(action.low, action.high, (N, *action.shape)).astype(action.dtype)
    drawn[0], drawn[1] = action.low, action.high
    return drawn


class Host:
    """An environment of either kind, N episodes at once, in NumPy."""

    def __init__(self, env: JaxEnv | BatchedEnv) -> None:
        self.task, self.env = env.task, env
        if isinstance(env, JaxEnv):
            self._reset, self._step, self._observe = (
                jax.jit(jax.vmap(f)) for f in (env.reset, env.step, env.observe)
            )

    def reset(self, seed: int):
        keys = jax.random.split(jax.random.key(seed), N)
        if isinstance(self.env, JaxEnv):
            return self._reset(keys)
        return self.env.reset(np.asarray(jax.random.key_data(keys)))

    def step(self, seed: int, state, action: np.ndarray):
        if isinstance(self.env, JaxEnv):
            return self._step(jax.random.split(jax.random.key(seed), N), state, action)
        return self.env.step(state, action)

    def observe(self, state) -> tuple[np.ndarray, np.ndarray]:
        one = isinstance(self.env, JaxEnv)
        obs, achieved = (self._observe if one else self.env.observe)(state)
        return np.asarray(obs), np.asarray(achieved)

    def path(self, seed: int) -> list:
        """A goal, and what was observed after each step."""
        state, goal = self.reset(seed)
        seen = [self.observe(state)]
        for t in range(STEPS):
            state = self.step(t, state, some_actions(self.task.action, t))
            seen.append(self.observe(state))
        return [np.asarray(goal), seen]


@pytest.fixture(scope="module", params=registry.entries("environment"))
def host(request) -> Host:
    module = load("environment", request.param)
    return Host(module.make(module.Config()))


def test_a_task_is_well_formed(host, request):
    task = host.task
    assert task.name in registry.entries("environment")
    assert task.horizon >= 1
    assert task.version_hash
    for shape in (task.obs_shape, task.goal_shape):
        assert all(isinstance(size, int) and size >= 1 for size in shape)
    if isinstance(task.action, Discrete):
        assert task.action.n >= 2
    else:
        assert len(task.action.low) == len(task.action.high) >= 1
        assert (np.array(task.action.low) < task.action.high).all()


def test_a_world_gives_what_its_task_declares(host):
    task = host.task
    goal, seen = host.path(0)
    assert goal.shape == (N, *task.goal_shape)
    assert goal.dtype == task.goal_dtype
    for obs, achieved in seen:
        assert obs.shape == (N, *task.obs_shape)
        assert obs.dtype == task.obs_dtype
        assert np.isfinite(obs).all()
        assert achieved.shape == (N, *task.goal_shape)
        assert achieved.dtype == task.goal_dtype
        assert np.isfinite(achieved).all()


def test_the_achieved_goal_is_where_the_task_says(host):
    task, (_, seen) = host.task, host.path(0)
    assert len(task.achieved_at) == task.goal_shape[0]
    for obs, achieved in seen:
        np.testing.assert_array_equal(obs[:, task.achieved_at], achieved)


def test_a_world_depends_on_its_key_and_nothing_else(host):
    one, again, other = host.path(0), host.path(0), host.path(1)
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one[0] != other[0]).any()  # the goals
    assert len(np.unique(one[0], axis=0)) > 1


def test_episodes_do_not_touch_one_another(host):
    """Each starts at its own key, and a state is not changed by stepping on from it."""
    state, _ = host.reset(0)
    before = jax.tree.map(np.array, state)
    one = host.observe(host.step(0, state, some_actions(host.task.action, 0)))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, state), before)
    changed = some_actions(host.task.action, 0)
    changed[-1] = some_actions(host.task.action, 0)[0]
    other = host.observe(host.step(0, state, changed))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a[:-1], b[:-1])


def test_success_is_a_boolean_that_broadcasts_on_numpy_and_jax(host):
    task, (goal, seen) = host.task, host.path(0)
    achieved = np.stack([achieved for _, achieved in seen])  # [steps + 1, N, G]
    expected = np.array(
        [[task.success(a, g) for a, g in zip(at, goal, strict=True)] for at in achieved]
    )
    for numpy in (np, jnp):
        success = task.success(numpy.asarray(achieved), numpy.asarray(goal))
        assert success.shape == (STEPS + 1, N)
        assert success.dtype == bool
        np.testing.assert_array_equal(success, expected)
        assert task.success(numpy.asarray(goal), numpy.asarray(goal)).all()
        assert task.success(numpy.asarray(goal[0]), numpy.asarray(goal[0])).shape == ()


def test_a_world_is_collected_from(host):
    """One step of it, so that slow ones are quick: shapes and types as the replay wants them."""
    task = host.task._replace(horizon=STEPS)
    env = host.env._replace(task=task)

    def act(keys, agent_state, obs, goal, explore):
        return jnp.asarray(some_actions(task.action, 0))

    episodes = collector(env, act, N, True, True)(jax.random.key(0), None, 0)
    jax.tree.map(
        lambda declared, leaf: np.testing.assert_equal(
            (leaf.shape, leaf.dtype), (declared.shape, declared.dtype)
        ),
        ring.empty_episodes(task, N),
        episodes,
    )
    assert ((np.asarray(episodes.length) >= 1) & (np.asarray(episodes.length) <= STEPS)).all()


def test_a_world_draws_itself(host):
    state, goal = host.reset(0)
    one = jax.tree.map(lambda x: np.asarray(x)[0], state)
    image = host.env.render(one, np.asarray(goal)[0])
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.std() > 0
    other = host.env.render(one, np.asarray(goal)[1])
    assert image.shape == other.shape
    assert (image != other).any()  # the goal is seen


@pytest.mark.parametrize("name", registry.entries("strategy"))
def test_a_strategy_names_a_goal_of_the_same_episode_after_its_start(name, task, random_episodes):
    module = load("strategy", name)
    strategy = module.make(module.Config())
    lengths = [5, 1, 3]
    replay = ring.add(ring.init(task, 4), random_episodes(np.random.default_rng(0), task, lengths))
    moments = [(slot, t) for slot, steps in enumerate(lengths) for t in range(steps)]
    index = Index(*jnp.array(moments * 50, jnp.int32).T)
    goal_step = jax.jit(strategy)(jax.random.key(0), replay, index)
    assert goal_step.shape == index.step.shape
    assert (goal_step > 0).all()
    assert (goal_step <= replay.data.length[index.episode]).all()
    assert goal_step.dtype == jnp.int32


@pytest.fixture(
    scope="module",
    params=[(name, kind) for name in registry.entries("algorithm") for kind in ACTIONS],
    ids="-".join,
)
def learning(request, task, random_episodes) -> tuple:
    """An algorithm, its task, episodes, a replay of them, and a first state."""
    name, kind = request.param
    task = task._replace(action=ACTIONS[kind])
    module, strategy = load("algorithm", name), registry.load("strategy", "future")
    algorithm = module.make(module.Config(), task, strategy.make(strategy.Config()))
    episodes = random_episodes(np.random.default_rng(0), task, [5, 2, 4])
    replay = ring.add(ring.init(task, 4), episodes)
    return algorithm, task, episodes, replay, algorithm.init(jax.random.key(0))


def described(tree) -> list:
    """The names, shapes and types in a tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), x.shape, x.dtype) for path, x in leaves]


def test_an_algorithm_learns_from_a_replay_whatever_the_actions(learning):
    """init, observe, e_step and m_step, compiled, alone and for two seeds at once."""
    algorithm, task, episodes, replay, _ = learning

    def learn(key):
        first = algorithm.observe(algorithm.init(key), episodes)
        batch = algorithm.e_step(key, first, replay)
        return first, batch, *algorithm.m_step(key, first, batch)

    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.jit(jax.vmap(learn))(keys)
    first, batch, second, metrics = jax.tree.map(lambda x: x[0], both)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        (first, batch, second, metrics),
        jax.jit(learn)(keys[0]),
    )

    assert described(first) == described(second)
    assert metrics
    leaves = jax.tree.leaves(metrics)
    assert all(jnp.shape(x) == () and np.isfinite(x) for x in leaves)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(second))
    rows = len(batch.weight)
    assert batch.obs.shape == batch.next_obs.shape == (rows, *task.obs_shape)
    assert batch.goal.shape == (rows, *task.goal_shape)
    assert batch.action.shape == (rows, *task.action.shape)
    assert batch.action.dtype == task.action.dtype
    before, after = (state.policy for state in (first, second))
    changed = jax.tree.map(lambda a, b: (np.asarray(a) != b).any(), before, after)
    assert any(jax.tree.leaves(changed))
    seeds = jax.tree.map(lambda x: (np.asarray(x[0]) != x[1]).any(), both[0].policy)
    assert any(jax.tree.leaves(seeds))


def test_no_algorithm_imitates_a_failure(learning):
    """Only critics see the step that failed, and they see it as a failure."""
    algorithm, task, episodes, _, first = learning
    episodes = episodes._replace(failed=np.array([True, False, True]))
    replay = ring.add(ring.init(task, 4), episodes)
    state = algorithm.observe(first, episodes)
    batch = jax.jit(algorithm.e_step)(jax.random.key(1), state, replay)
    batch = jax.tree.map(np.asarray, batch)
    has_critic = any(name.startswith("target") for name in state._fields)
    for row in (0, 2):
        last = episodes.obs[row, episodes.length[row] - 1]
        counts = (batch.obs == last).all(axis=1) & (batch.weight != 0)
        assert batch.failed[counts].all()
        assert counts.any() == has_critic
    others = (batch.weight != 0) & ~batch.failed
    assert others.any()


def test_an_algorithm_s_state_may_be_given_up_to_what_takes_it(learning):
    """A run donates its state, which XLA refuses if two leaves share their memory."""
    *_, state = learning
    leaves = jax.tree.leaves(state)
    places = [leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.size]
    assert len(set(places)) == len(places)


def test_learning_keeps_the_types_of_a_run_s_state(learning):
    """Weak types too: a program is compiled again for a state of other types."""
    algorithm, task, episodes, *_ = learning
    state = jax.eval_shape(lambda: init_state(task, algorithm, 0, 4))
    learned = jax.eval_shape(make_learn(task, algorithm, 2), state, episodes)[0]

    def types(tree) -> list:
        return [
            (*row, leaf.weak_type)
            for row, leaf in zip(described(tree), jax.tree.leaves(tree), strict=True)
        ]

    assert types(state) == types(learned)


@pytest.mark.parametrize("explore", [True, False])
def test_an_algorithm_acts_within_the_task_s_actions(learning, explore):
    algorithm, task, episodes, _, state = learning

    @jax.jit
    def act(keys):
        return algorithm.act(keys, state, episodes.obs[:, 0], episodes.goal, explore)

    for seed in range(20):
        action = np.asarray(act(jax.random.split(jax.random.key(seed), 3)))
        assert action.shape == (3, *task.action.shape)
        assert action.dtype == task.action.dtype
        low, high = (0, task.action.n - 1) if isinstance(task.action, Discrete) else task.action
        assert ((action >= np.float32(low)) & (action <= np.float32(high))).all()


def test_an_algorithm_s_policy_is_what_acts(learning):
    algorithm, _, episodes, _, state = learning
    keys = jax.random.split(jax.random.key(0), 3)
    obs, goal = episodes.obs[:, 0], episodes.goal
    greedy = algorithm.policy.greedy(state.policy, obs, goal)
    np.testing.assert_allclose(algorithm.act(keys, state, obs, goal, False), greedy, atol=1e-6)
