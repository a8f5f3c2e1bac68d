"""FetchReach-v4 against the environment of that name in gymnasium-robotics, and on its own."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.envs.mujoco import fetch_reach
from hem.envs.mujoco.engine.batched import State
from hem.errors import UserError

EPISODES, STEPS = 20, 50


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(n, 2), dtype=np.uint32)


@pytest.fixture(scope="module")
def sim():
    return fetch_reach.make(fetch_reach.Config())


@pytest.fixture(scope="module")
def actions():
    """f32[T, N, 4]; beyond the bounds at times, and in some episodes steadily into the table."""
    rng = np.random.default_rng(7)
    action = rng.uniform(-1.2, 1.2, (STEPS, EPISODES, 4)).astype(np.float32)
    action[:, -4:, 2] = -1
    return action


@pytest.fixture(scope="module")
def ours(sim, actions):
    """The goals, and observations [T+1, N, 10], achieved goals and physics of our episodes."""
    state, goal = sim.reset(keys(EPISODES))
    trail = [(*sim.observe(state), state.physics)]
    for action in actions:
        state = sim.step(state, action)
        trail.append((*sim.observe(state), state.physics))
    return goal, *map(np.stack, zip(*trail, strict=True))


@pytest.fixture(scope="module")
def reference(actions, ours):
    """The same as gymnasium-robotics has it, from the same goals and actions, and its rewards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)
        env = gymnasium.make(fetch_reach.NAME)
        episodes = [_reference_episode(env, actions[:, i], ours[0][i]) for i in range(EPISODES)]
        env.close()
    return [np.stack(x, axis=1) for x in zip(*episodes, strict=True)]


def _reference_episode(env, actions, goal):
    bare = env.unwrapped
    seen, _ = env.reset(seed=0)
    bare.goal = goal.astype(np.float64)
    obs, achieved, rewards = [seen["observation"]], [seen["achieved_goal"]], []
    states = [np.concatenate([[bare.data.time], bare.data.qpos, bare.data.qvel])]
    for action in actions:
        seen, reward, *_ = env.step(action)
        obs.append(seen["observation"])
        achieved.append(seen["achieved_goal"])
        rewards.append(reward)
        states.append(np.concatenate([[bare.data.time], bare.data.qpos, bare.data.qvel]))
    return np.stack(obs), np.stack(achieved), np.stack(states), np.stack(rewards)


def test_observations_equal_the_reference_at_every_step(ours, reference):
    np.testing.assert_allclose(ours[1], reference[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours[2], reference[1], rtol=0, atol=1e-6)


def test_the_physics_equals_the_reference_far_below_single_precision(ours, reference):
    np.testing.assert_array_equal(ours[3][0], reference[2][0])  # the reset, to the last bit
    np.testing.assert_allclose(ours[3], reference[2], rtol=0, atol=1e-9)


def test_rewards_equal_the_reference(sim, ours, reference):
    success = sim.task.success(ours[2][1:], ours[0])
    np.testing.assert_array_equal(success - 1.0, reference[3])
    assert success.any()
    assert not success.all()


def test_the_reset_is_the_one_written_down(sim):
    state, goal = sim.reset(np.array([[0, 1], [2, 3]], np.uint32))
    obs, achieved = sim.observe(state)
    golden = [1.3418350, 0.74910104, 0.53472507, 3.9005472e-04, 1.1703468e-05]
    golden += [-5.3746858e-06, -8.5108887e-08, 2.4663028e-05, 6.6555895e-06, -2.9418213e-06]
    np.testing.assert_allclose(obs, [golden, golden], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(achieved, obs[:, :3])
    golden_goals = [[1.4587569, 0.76624244, 0.62499624], [1.2972693, 0.7512254, 0.5462685]]
    np.testing.assert_allclose(goal, golden_goals, rtol=0, atol=1e-7)


def test_dtypes_and_shapes_are_those_of_the_task(sim):
    state, goal = sim.reset(keys(3))
    obs, achieved = sim.observe(state)
    assert (obs.dtype, obs.shape) == (sim.task.obs_dtype, (3, *sim.task.obs_shape))
    for x in (achieved, goal):
        assert (x.dtype, x.shape) == (sim.task.goal_dtype, (3, *sim.task.goal_shape))


def test_the_same_key_gives_the_same_goal_and_others_differ(sim):
    some = keys(500)
    _, goal = sim.reset(some)
    _, again = sim.reset(some[::-1])
    np.testing.assert_array_equal(goal, again[::-1])
    assert len(np.unique(goal, axis=0)) == 500


def test_goals_fill_the_cube_around_the_grip(sim):
    state, goal = sim.reset(keys(2000))
    offset = goal - sim.observe(state)[1]
    np.testing.assert_allclose(offset.min(0), -0.15, atol=2e-3)
    np.testing.assert_allclose(offset.max(0), 0.15, atol=2e-3)
    np.testing.assert_allclose(offset.mean(0), 0, atol=0.01)


def test_a_proportional_controller_reaches_every_goal(sim):
    state, goal = sim.reset(keys(20, seed=3))
    for _ in range(10):
        _, achieved = sim.observe(state)
        pull = 10 * (goal - achieved)
        state = sim.step(state, np.concatenate([pull, np.zeros((20, 1))], axis=1))
    assert sim.task.success(sim.observe(state)[1], goal).all()


def test_actions_move_the_grip_along_their_axes_and_the_fourth_does_nothing(sim):
    action = np.concatenate([np.eye(4), np.zeros((1, 4))]).astype(np.float32)
    state, _ = sim.reset(keys(5))
    for _ in range(4):
        state = sim.step(state, action)
    _, achieved = sim.observe(state)
    moved = achieved - achieved[-1]
    assert (np.diag(moved) > 0.1).all()
    np.testing.assert_allclose(moved[:3], np.diag(np.diag(moved)), rtol=0, atol=0.02)
    np.testing.assert_array_equal(moved[3], 0)


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(sim, actions, ours):
    rows = np.array([19, 2, 11])
    state, goal = sim.reset(keys(EPISODES)[rows])
    np.testing.assert_array_equal(goal, ours[0][rows])
    for t, action in enumerate(actions):
        state = sim.step(state, action[rows])
        np.testing.assert_array_equal(state.physics, ours[3][t + 1, rows])
        np.testing.assert_array_equal(sim.observe(state)[0], ours[1][t + 1, rows])
        state = State(*(x[:2] for x in state))
        rows = rows[:2]


def test_actions_are_clipped(sim):
    state, _ = sim.reset(keys(1))
    steps = [sim.step(state, np.full((1, 4), a, np.float32)).physics for a in (7, 1, 0.5)]
    np.testing.assert_array_equal(steps[0], steps[1])
    assert (steps[1] != steps[2]).any()


def test_a_step_leaves_the_state_it_was_given(sim):
    state, _ = sim.reset(keys(2))
    before = [x.copy() for x in state]
    sim.step(state, np.ones((2, 4), np.float32))
    for x, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(x, kept)


def test_divergence_shows_as_nan_and_stays(sim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs its warning
    state, goal = sim.reset(keys(3))
    physics = state.physics.copy()
    physics[1, -5] = 1e8  # a joint's velocity
    state = State(physics, state.sensors)
    for _ in range(2):
        state = sim.step(state, np.zeros((3, 4), np.float32))
        obs, achieved = sim.observe(state)
        np.testing.assert_array_equal(np.isnan(obs).any(axis=1), [False, True, False])
        np.testing.assert_array_equal(np.isnan(achieved).all(axis=1), [False, True, False])
        assert not sim.task.success(achieved, goal)[1]


def test_success_is_the_same_for_numpy_and_jax_and_broadcasts(sim):
    rng = np.random.default_rng(0)
    achieved = rng.uniform(0, 0.06, (6, 1, 3)).astype(np.float32)
    goal = rng.uniform(0, 0.06, (7, 3)).astype(np.float32)
    expected = np.linalg.norm(achieved - goal, axis=-1) < 0.05
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(sim.task.success(achieved, goal), expected)
    traced = jax.jit(sim.task.success)(jnp.asarray(achieved), jnp.asarray(goal))
    np.testing.assert_array_equal(traced, expected)


def test_the_task_takes_its_numbers_from_the_config(sim):
    config = fetch_reach.Config(horizon=9, terminates_on_success=False, threshold=0.2)
    other = fetch_reach.make(config).task
    assert (other.horizon, other.terminates_on_success) == (9, False)
    goal = np.float32([0, 0, 0.1])
    assert other.success(np.zeros(3, np.float32), goal)
    assert not sim.task.success(np.zeros(3, np.float32), goal)
    assert other.version_hash == sim.task.version_hash


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"threshold": 0.0}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        fetch_reach.Config(**wrong)
