"""Reacher against the environment of that name in Gymnasium, and on its own."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.envs.mujoco import reacher
from hem.envs.mujoco.engine.batched import State
from hem.errors import UserError

EPISODES, STEPS = 20, 50
UPPER, FORE = 0.1, 0.11  # m, the links


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(n, 2), dtype=np.uint32)


@pytest.fixture(scope="module")
def sim():
    return reacher.make(reacher.Config())


@pytest.fixture(scope="module")
def actions():
    """f32[T, N, 2]; in some episodes the arm is driven against the limit of its elbow."""
    action = np.random.default_rng(7).uniform(-1, 1, (STEPS, EPISODES, 2)).astype(np.float32)
    action[:, -4:, 1] = 1
    return action


@pytest.fixture(scope="module")
def ours(sim, actions):
    """The goals, and observations [T+1, N, 8], achieved goals and physics of our episodes."""
    state, goal = sim.reset(keys(EPISODES))
    trail = [(*sim.observe(state), state.physics)]
    for action in actions:
        state = sim.step(state, action)
        trail.append((*sim.observe(state), state.physics))
    return goal, *map(np.stack, zip(*trail, strict=True))


@pytest.fixture(scope="module")
def reference(actions, ours):
    """The same as Gymnasium has it: observations without the target, distances, states."""
    env = gymnasium.make("Reacher-v5")
    episodes = [_reference_episode(env, actions[:, i], ours, i) for i in range(EPISODES)]
    env.close()
    return [np.stack(x, axis=1) for x in zip(*episodes, strict=True)]


def _reference_episode(env, actions, ours, i):
    bare = env.unwrapped
    env.reset(seed=0)
    start = ours[3][0, i]
    position = np.concatenate([start[1:3], ours[0][i].astype(np.float64)])
    bare.set_state(position, np.concatenate([start[3:5], [0, 0]]))
    seen, rewards = [_without_target(bare, bare._get_obs(), ours[0][i])], []
    states = [np.concatenate([bare.data.qpos[:2], bare.data.qvel[:2]])]
    for action in actions:
        _, _, _, _, info = env.step(action)
        rewards.append(-info["reward_dist"])
        states.append(np.concatenate([bare.data.qpos[:2], bare.data.qvel[:2]]))
        _place_bodies(bare)
        seen.append(_without_target(bare, bare._get_obs(), ours[0][i]))
    return np.stack(seen), np.stack(rewards), np.stack(states)


def _place_bodies(bare):
    """Put bodies where the state has them: the integrator leaves them where its last stage was."""
    import mujoco

    mujoco.mj_kinematics(bare.model, bare.data)


def _without_target(bare, obs, goal):
    """Cosines, sines, velocities and the fingertip, of Gymnasium's [cos, sin, target, v, tip-g]."""
    np.testing.assert_allclose(obs[4:6], goal, atol=1e-7)
    return np.concatenate([obs[:4], obs[6:8], obs[8:10] + bare.data.body("target").xpos[:2]])


def test_observations_equal_the_reference_at_every_step(ours, reference):
    np.testing.assert_allclose(ours[1], reference[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours[2], reference[0][..., 6:], rtol=0, atol=1e-6)


def test_the_physics_equals_the_reference_far_below_single_precision(ours, reference):
    np.testing.assert_allclose(ours[3][..., 1:], reference[2], rtol=1e-9, atol=1e-9)
    bent = np.abs(ours[3][:, -4:, 2]).max()
    assert bent > 2.9  # rad: the limit of the elbow was met


def test_success_is_the_reference_s_distance_within_the_threshold(ours, reference):
    # Its reward is judged a stage earlier than the state, so within what a step moves the tip.
    distance = np.linalg.norm(reference[0][1:, :, 6:] - ours[0], axis=-1)
    for threshold in (0.05, 0.125):
        success = reacher.make(reacher.Config(threshold=threshold)).task.success
        clear = np.abs(distance - 0.4 * threshold) > 1e-6
        said = np.asarray(success(ours[2][1:], ours[0]))
        np.testing.assert_array_equal(said[clear], (distance < 0.4 * threshold)[clear])
        assert said.any()
        assert not said.all()
    moved = np.linalg.norm(np.diff(reference[0][..., 6:], axis=0), axis=-1)
    assert (np.abs(distance - reference[1]) <= moved + 1e-6).all()


def test_the_reset_is_the_one_written_down(sim):
    state, goal = sim.reset(np.array([[0, 1], [2, 3]], np.uint32))
    obs, achieved = sim.observe(state)
    golden = [[0.99992466, 0.999977231, -0.012273194, 0.006750532], [0.998806059, 0.995602369]]
    golden[0] += [-0.000540817, -0.000616037, 0.209990785, -0.001834837]
    golden[1] += [0.048851233, 0.093679957, 0.004812458, 0.004077971, 0.208762705, 0.02052762]
    np.testing.assert_allclose(obs, golden, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(achieved, obs[:, 6:])
    golden_goals = [[-0.176612034, -0.068576232], [0.149603575, -0.032389823]]
    np.testing.assert_allclose(goal, golden_goals, rtol=0, atol=1e-7)


def test_starts_are_around_the_stretched_arm_and_goals_fill_the_disc(sim):
    state, goal = sim.reset(keys(4000))
    angle, velocity = state.physics[:, 1:3], state.physics[:, 3:5]
    assert 0.099 < np.abs(angle).max() <= 0.1
    assert 0.0049 < np.abs(velocity).max() <= 0.005
    radius = np.linalg.norm(goal, axis=1)
    assert radius.max() <= 0.2
    np.testing.assert_allclose((radius < 0.1).mean(), 0.25, atol=0.03)  # uniform in area
    np.testing.assert_allclose(goal.mean(0), 0, atol=0.01)


def test_the_same_key_gives_the_same_episode(sim):
    some = keys(50)
    state, goal = sim.reset(some)
    again, again_goal = sim.reset(some[::-1])
    np.testing.assert_array_equal(goal, again_goal[::-1])
    np.testing.assert_array_equal(state.physics, again.physics[::-1])


def test_fingertip_and_angles_are_inverse(sim):
    _, goal = sim.reset(keys(500))
    far = goal[np.linalg.norm(goal, axis=1) > 0.02]
    angle = reacher.angles(far, UPPER, FORE, 3.0)
    np.testing.assert_allclose(reacher.fingertip(angle, UPPER, FORE), far, atol=1e-7)
    assert np.abs(angle[:, 1]).max() <= 3.0


def controller(obs, goal):
    """Torques that bring the arm to the angles of a goal: springs with dampers, by the inverse."""
    wanted = reacher.angles(goal, UPPER, FORE, 3.0)
    angle = np.arctan2(obs[:, 2:4], obs[:, 0:2])
    error = wanted - angle
    error[:, 0] = (error[:, 0] + np.pi) % (2 * np.pi) - np.pi
    return np.clip(1.0 * error - 0.15 * obs[:, 4:6], -1, 1).astype(np.float32)


def test_goals_are_reached_in_time_by_one_who_knows_the_arm(sim):
    state, goal = sim.reset(keys(200))
    reached = np.zeros(200, bool)
    for _ in range(50):
        state = sim.step(state, controller(sim.observe(state)[0], goal))
        reached |= np.asarray(sim.task.success(sim.observe(state)[1], goal))
    assert reached.mean() >= 0.97


def test_an_arm_that_does_nothing_reaches_nothing(sim):
    state, goal = sim.reset(keys(200))
    for _ in range(50):
        state = sim.step(state, np.zeros((200, 2), np.float32))
    assert np.asarray(sim.task.success(sim.observe(state)[1], goal)).mean() <= 0.05


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(sim):
    some, action = keys(6), np.random.default_rng(1).uniform(-1, 1, (6, 2)).astype(np.float32)
    state, _ = sim.reset(some)
    after = sim.step(state, action)
    part = sim.step(jax.tree.map(lambda x: x[2:5], state), action[2:5])
    np.testing.assert_array_equal(part.physics, after.physics[2:5])


def test_actions_are_clipped(sim):
    state, _ = sim.reset(keys(2))
    much, most = np.full((2, 2), 5, np.float32), np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(sim.step(state, much).physics, sim.step(state, most).physics)


@pytest.mark.parametrize("arrays", [np, jnp])
def test_success_is_a_distance_in_fractions_of_the_disc(arrays):
    success = reacher.make(reacher.Config(threshold=0.1)).task.success
    achieved = arrays.array([[0.0, 0.0], [0.0, 0.0]], dtype=arrays.float32)
    goal = arrays.array([[0.039, 0.0], [0.0, -0.041]], dtype=arrays.float32)
    assert np.asarray(success(achieved, goal)).tolist() == [True, False]


def test_impossible_thresholds_are_refused():
    with pytest.raises(UserError, match="threshold"):
        reacher.Config(threshold=0.0)


# --- images ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    return reacher.make(reacher.Config(obs="image", goal="image"))


def fingertips(images):
    """Where the orange pixels are, in m: f64[N, 2]."""
    red, green, blue = np.moveaxis(images.astype(int), -1, 0)
    orange = (red - blue > 90) & (red - green > 40) & (green > 60)
    assert orange.any((1, 2)).all()
    along = (np.arange(48) + 0.5) / 48 - 0.5
    x = (orange.sum(1) * along).sum(1) / orange.sum((1, 2))
    y = (orange.sum(2) * -along).sum(1) / orange.sum((1, 2))
    return np.stack([x, y], axis=1)


def spread(seen):
    """States of arms bent in all ways, at rest."""
    angle = np.random.default_rng(0).uniform([-3, -2.5], [3, 2.5], (40, 2))
    physics = np.concatenate([np.zeros((40, 1)), angle, np.zeros((40, 2))], axis=1)
    return State(physics, np.empty((40, 0)))


def test_a_picture_shows_the_fingertip_where_it_is(seen):
    images, achieved = seen.observe(spread(seen))
    assert (images.dtype, images.shape) == (np.uint8, (40, 48, 48, 3))
    at = fingertips(images)
    scale = np.linalg.lstsq(at.reshape(-1, 1), achieved.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(at * scale, achieved, atol=0.01)  # the camera looks straight down


def test_a_picture_does_not_depend_on_the_goal(seen):
    one, goal = seen.reset(keys(4))
    other, other_goal = seen.reset(keys(4, seed=1))
    assert (goal != other_goal).all()
    np.testing.assert_array_equal(
        seen.observe(one)[0], seen.observe(other._replace(physics=one.physics))[0]
    )


def test_a_shown_goal_is_one_that_is_achieved(seen):
    _, goal = seen.reset(keys(40))
    far = goal[np.linalg.norm(goal, axis=1) > 0.02]
    physics = np.zeros((len(far), 5))
    physics[:, 1:3] = reacher.angles(far, UPPER, FORE, 3.0)
    images, achieved = seen.observe(State(physics, np.empty((len(far), 0))))
    np.testing.assert_allclose(achieved, far, atol=1e-6)
    np.testing.assert_array_equal(seen.render_goal(far), images)
