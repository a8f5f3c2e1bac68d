"""SawyerReach against metaworld's own environment, and on its own: numbers, images, options."""

import importlib.util
import warnings

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from hem.envs.mujoco import sawyer_reach
from hem.envs.mujoco.engine.batched import State
from hem.envs.mujoco.engine.camera import camera
from hem.envs.mujoco.sawyer_reach import HIGH, LOW
from hem.errors import UserError

EPISODES, STEPS = 20, 50
QPOS, QVEL, MOCAP = slice(1, 10), slice(10, 19), slice(19, 22)  # in our physics state
FAR = (0.6, 0.9, 0.02)  # on the table, where the arm never comes


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(n, 2), dtype=np.uint32)


def made(**settings):
    return sawyer_reach.make(sawyer_reach.Config(**settings))


@pytest.fixture(scope="module")
def sim():
    return made()


@pytest.fixture(scope="module")
def actions():
    """f32[T, N, 3]; beyond the bounds at times, some steadily into a corner or onto the table."""
    rng = np.random.default_rng(7)
    action = rng.uniform(-1.2, 1.2, (STEPS, EPISODES, 3)).astype(np.float32)
    action[:, -4:, 2] = -1
    action[:, -8:-4] = np.sign(action[0, -8:-4])
    return action


@pytest.fixture(scope="module")
def ours(sim, actions):
    """Observations [T+1, N, 9], achieved goals and physics of our episodes."""
    state, _ = sim.reset(keys(EPISODES))
    trail = [(*sim.observe(state), state.physics)]
    for action in actions:
        state = sim.step(state, action)
        trail.append((*sim.observe(state), state.physics))
    return tuple(map(np.stack, zip(*trail, strict=True)))


@pytest.fixture(scope="module")
def reference(actions):
    """The same physics [T+1, N, 21] without the time, and hands, as metaworld has them.

    Its environment, with multiworld's numbers and its puck aside, makes one step after another.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from metaworld.envs.sawyer_reach_v3 import SawyerReachEnvV3

        env = SawyerReachEnvV3()
    env.action_scale, env.mocap_low, env.mocap_high = 2 / 100, np.array(LOW), np.array(HIGH)
    env.hand_init_pos, shut = np.array([0.0, 0.6, 0.2]), [1, -1]
    env.data.qpos[9:12] = FAR
    env.data.mocap_pos[0], env.data.mocap_quat[0] = env.hand_init_pos, (1, 0, 1, 0)
    env.do_simulation(shut, n_frames=4000)
    start = env.data.qpos.copy(), env.data.qvel.copy()

    def row():
        mujoco.mj_kinematics(env.model, env.data)
        data = env.data
        whole = np.concatenate([data.qpos[:9], data.qvel[:9], data.mocap_pos[0]])
        return whole, env.get_endeff_pos().copy()

    def episode(actions):
        env.data.mocap_pos[0] = env.hand_init_pos
        env.set_state(*start)
        rows = [row()]
        for action in actions:
            env.set_xyz_action(action)
            env.do_simulation(shut, n_frames=40)
            rows.append(row())
        return tuple(map(np.stack, zip(*rows, strict=True)))

    episodes = [episode(actions[:, i]) for i in range(EPISODES)]
    env.close()
    return [np.stack(x, axis=1) for x in zip(*episodes, strict=True)]


def test_the_physics_equals_metaworld_s_at_every_step(ours, reference):
    np.testing.assert_allclose(ours[2][..., 1:], reference[0], rtol=0, atol=1e-8)
    assert (ours[2][0, :, QPOS.start :] == ours[2][0, 0, QPOS.start :]).all()


def test_the_hand_is_where_metaworld_s_is_at_every_step(ours, reference):
    np.testing.assert_allclose(ours[1], reference[1], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours[0][..., :3], ours[1])
    moved = np.abs(ours[1] - ours[1][0]).max((0, 1))
    assert (moved > 0.1).all()  # so the comparison was of something


def test_the_observation_tells_where_the_mocap_is_and_how_fast_the_hand_goes(ours):
    obs, _, physics = ours
    np.testing.assert_allclose(obs[..., :3] + obs[..., 6:], physics[..., MOCAP], rtol=0, atol=1e-6)
    np.testing.assert_allclose(obs[0, :, 3:6], 0, atol=1e-6)
    step = np.diff(obs[..., :3], axis=0)  # moved in a step; velocities are at its end
    assert np.corrcoef(step.ravel(), obs[1:, :, 3:6].ravel())[0, 1] > 0.7
    assert np.abs(obs[..., 3:6]).max() < 0.03


def test_the_mocap_stays_in_its_box(ours):
    mocap = ours[2][..., MOCAP]
    assert (mocap >= np.array(LOW) - 1e-12).all()
    assert (mocap <= np.array(HIGH) + 1e-12).all()


def test_the_reset_is_the_one_written_down(sim):
    state, goal = sim.reset(np.array([[0, 1], [2, 3]], np.uint32))
    obs, achieved = sim.observe(state)
    golden = [0.0, 0.60025114, 0.19618815, 0.0, 0.0, 0.0, 0.0, -2.5113221e-04, 3.8118532e-03]
    np.testing.assert_allclose(obs, [golden, golden], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(achieved, obs[:, :3])
    golden_goals = [[-0.02454701, 0.65675056, 0.16147958], [0.09774137, 0.74381751, 0.29531145]]
    np.testing.assert_allclose(goal, golden_goals, rtol=0, atol=1e-7)


def test_the_same_key_gives_the_same_goal_and_others_differ(sim):
    some = keys(500)
    _, goal = sim.reset(some)
    _, again = sim.reset(some[::-1])
    np.testing.assert_array_equal(goal, again[::-1])
    assert len(np.unique(goal, axis=0)) == 500


def test_goals_fill_the_box(sim):
    _, goal = sim.reset(keys(2000))
    low, high = np.array(LOW), np.array(HIGH)
    place = (goal - low) / (high - low)
    np.testing.assert_allclose(place.min(0), 0, atol=5e-3)
    np.testing.assert_allclose(place.max(0), 1, atol=5e-3)
    np.testing.assert_allclose(place.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.cov(place.T), np.eye(3) / 12, atol=0.01)


@pytest.mark.parametrize("axes", ["xyz", "xy"])
def test_a_proportional_controller_reaches_every_goal(axes):
    sim = made(axes=axes)
    state, goal = sim.reset(keys(50, seed=3))
    for _ in range(15):
        _, achieved = sim.observe(state)
        pull = (goal - achieved) / 0.02
        state = sim.step(state, pull[:, : len(axes)])
    _, achieved = sim.observe(state)
    assert sim.task.success(achieved, goal).all()
    assert np.linalg.norm(achieved - goal, axis=1).max() < 0.02


def test_actions_move_the_hand_along_their_axes(sim):
    state, _ = sim.reset(keys(4))
    for _ in range(4):
        state = sim.step(state, np.eye(4, 3, dtype=np.float32))
    _, achieved = sim.observe(state)
    np.testing.assert_allclose(achieved[:3] - achieved[3], 0.08 * np.eye(3), rtol=0, atol=0.01)


def test_the_hand_does_not_sink_where_nothing_is_done(sim):
    state, _ = sim.reset(keys(1))
    _, before = sim.observe(state)
    for _ in range(50):
        state = sim.step(state, np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(sim.observe(state)[1], before, rtol=0, atol=1e-6)


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(sim, actions, ours):
    rows = np.array([19, 2, 11])
    state, _ = sim.reset(keys(EPISODES)[rows])
    for t, action in enumerate(actions):
        state = sim.step(state, action[rows])
        np.testing.assert_array_equal(state.physics, ours[2][t + 1, rows])
        np.testing.assert_array_equal(sim.observe(state)[0], ours[0][t + 1, rows])
        state = State(*(x[:2] for x in state))
        rows = rows[:2]


def test_actions_are_clipped(sim):
    state, _ = sim.reset(keys(1))
    steps = [sim.step(state, np.full((1, 3), a, np.float32)).physics for a in (7, 1, 0.5)]
    np.testing.assert_array_equal(steps[0], steps[1])
    assert (steps[1] != steps[2]).any()


def test_divergence_shows_as_nan_and_stays(sim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs its warning
    state, goal = sim.reset(keys(3))
    physics = state.physics.copy()
    physics[1, QVEL.start] = 1e10
    state = State(physics, state.sensors)
    for _ in range(2):
        state = sim.step(state, np.zeros((3, 3), np.float32))
        obs, achieved = sim.observe(state)
        np.testing.assert_array_equal(np.isnan(obs).any(axis=1), [False, True, False])
        assert not sim.task.success(achieved, goal)[1]


def test_success_is_within_six_centimetres_for_numpy_and_jax(sim):
    rng = np.random.default_rng(0)
    achieved = rng.uniform(0, 0.07, (6, 1, 3)).astype(np.float32)
    goal = rng.uniform(0, 0.07, (7, 3)).astype(np.float32)
    expected = np.linalg.norm(achieved - goal, axis=-1) < 0.06
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(sim.task.success(achieved, goal), expected)
    traced = jax.jit(sim.task.success)(jnp.asarray(achieved), jnp.asarray(goal))
    np.testing.assert_array_equal(traced, expected)


def test_with_two_axes_the_hand_stays_just_above_the_table(actions):
    sim = made(axes="xy")
    assert sim.task.action.shape == (2,)
    state, goal = sim.reset(keys(EPISODES))
    np.testing.assert_allclose(goal[:, 2], 0.055, rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.ptp(goal[:, :2], axis=0), (0.4, 0.2), atol=0.06)
    for action in actions[..., :2]:
        _, achieved = sim.observe(state)
        np.testing.assert_allclose(achieved[:, 2], 0.051, rtol=0, atol=0.01)
        state = sim.step(state, action)


def test_the_task_takes_its_numbers_from_the_config(sim):
    other = made(horizon=9, terminates_on_success=False, threshold=0.2).task
    assert (other.horizon, other.terminates_on_success) == (9, False)
    assert (sim.task.horizon, sim.task.terminates_on_success) == (50, True)
    goal = np.float32([0, 0, 0.1])
    assert other.success(np.zeros(3, np.float32), goal)
    assert not sim.task.success(np.zeros(3, np.float32), goal)
    assert other.version_hash == sim.task.version_hash


@pytest.mark.parametrize("wrong", [{"axes": "xz"}, {"threshold": 0.0}, {"horizon": 0}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        sawyer_reach.Config(**wrong)


def test_without_metaworld_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"run `pip install 'hindsight-em\[sawyer\]'`") as error:
        made()
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def pictured():
    return made(obs="image", goal="image")


@pytest.fixture(scope="module")
def corners():
    """f32[9, 3]: the middle of the box, and its corners."""
    ends = np.stack([LOW, HIGH])
    places = [ends[[i, j, k], [0, 1, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.float32([ends.mean(0), *places])


def fingers(image):
    """bool[H, W]: where the fingers are: one is cyan, and in this image nothing else is."""
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    return (np.minimum(green, blue) - red > 60) & (np.minimum(green, blue) > 100)


def test_goals_are_achieved_where_fulfilled(sim, corners):
    model = sawyer_reach.compile_sawyer()
    physics = sawyer_reach.sawyer_physics(model)
    rules = sawyer_reach.sawyer_rules(model, physics, flat=False)
    goal = np.concatenate([sim.reset(keys(100))[1], corners])
    posed = rules.goal_state(goal)
    obs, achieved = rules.observe(State(posed, physics.read_sensors(posed)))
    assert np.linalg.norm(achieved - goal, axis=1).max() < 0.006
    assert np.abs(obs[:, 3:6]).max() < 0.002  # and there the hand rests
    np.testing.assert_allclose(posed[:, MOCAP], goal, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [48, 84])
def test_the_hand_is_seen_wherever_it_is(corners, size):
    images = made(obs="image", goal="image", image_size=size).render_goal(corners)
    assert (images.dtype, images.shape) == (np.uint8, (9, size, size, 3))
    seen = np.array([fingers(image).sum() for image in images])
    assert (seen >= 4 * (size / 48) ** 2).all()


def test_each_axis_moves_the_hand_its_own_way_through_the_picture(pictured):
    """At least half a pixel a centimetre, and no two axes within 45 degrees."""
    middle, step = np.add(LOW, HIGH) / 2, 0.05 * np.eye(3)
    places = np.concatenate([middle + step, middle - step]).astype(np.float32)
    at = [np.argwhere(fingers(image)).mean(0) for image in pictured.render_goal(places)]
    moved = np.array(at[:3]) - at[3:]  # [3, 2], pixels in 10 cm
    length = np.linalg.norm(moved, axis=1)
    assert (length > 5).all()
    cosine = np.abs(moved @ moved.T / np.outer(length, length))[np.triu_indices(3, 1)]
    assert (cosine < np.sqrt(0.5)).all()


def test_a_shown_goal_looks_like_the_frame_in_which_it_is_reached(pictured):
    state, goal = pictured.reset(keys(6, seed=5))
    shown = pictured.render_goal(goal)
    for _ in range(25):
        _, achieved = pictured.observe(state)
        state = pictured.step(state, (goal - achieved) / 0.02)
    frames, _ = pictured.observe(state)
    apart = np.abs(frames[:, None].astype(float) - shown).mean((2, 3, 4))  # [frame, shown]
    np.testing.assert_array_equal(apart.argmin(axis=1), np.arange(6))
    assert np.diag(apart).max() < 0.5 * apart[~np.eye(6, dtype=bool)].min()


def test_the_model_s_own_goal_is_not_in_the_picture(pictured):
    state, _ = pictured.reset(keys(1))
    (frame,), _ = pictured.observe(state)
    model = sawyer_reach.compile_sawyer()
    bare = camera(model, sawyer_reach.SCENE.obs_camera, 48, 48)(state.physics[0], ())
    model.site_pos[model.site("goal").id] = (0, 0, -5)
    away = camera(model, sawyer_reach.SCENE.obs_camera, 48, 48)(state.physics[0], ())
    assert (bare != away).any()
    np.testing.assert_array_equal(frame, away)


def test_a_video_frame_marks_the_goal(sim):
    state, _ = sim.reset(keys(1))
    one = State(*(x[0] for x in state))
    low, high = (sim.render(one, np.float32([0.15, 0.7, z])).astype(int) for z in (0.05, 0.3))
    assert low.shape == (320, 320, 3)
    assert (np.abs(low - high).max(-1) > 40).sum() > 50
