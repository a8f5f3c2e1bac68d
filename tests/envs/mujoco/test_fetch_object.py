"""FetchPush-v4, FetchSlide-v4 and FetchPickAndPlace-v4 against the environments of these names in
gymnasium-robotics, and on their own."""

import warnings
from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hem.envs.mujoco import fetch, fetch_object, fetch_pick_and_place, fetch_push, fetch_slide
from hem.envs.mujoco.engine.batched import State
from hem.envs.mujoco.engine.camera import camera
from hem.envs.mujoco.engine.warm_start import WarmState
from hem.errors import UserError

EPISODES, STEPS = 20, 50
TASKS = {"push": fetch_push, "slide": fetch_slide, "pick": fetch_pick_and_place}


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(n, 2), dtype=np.uint32)


def rows_of(state, rows):
    return jax.tree.map(lambda x: x[rows], state)


def push(seen, goal):
    """Actions [N, 4] that go round the object, high, to the side away from its goal, and push."""
    grip, thing = seen[:, :3], seen[:, 3:6]
    way = goal[:, :2] - thing[:, :2]
    far = np.linalg.norm(way, axis=1, keepdims=True)
    ahead = way / np.maximum(far, 1e-9)
    off = grip[:, :2] - thing[:, :2]
    depth = (off * ahead).sum(1, keepdims=True)
    aside = off - depth * ahead
    height = grip[:, 2:] - thing[:, 2:]
    behind = (np.linalg.norm(aside, axis=1, keepdims=True) < 0.02) & (depth < -0.03)
    to_place = -off - 0.08 * ahead
    rise = 0.1 - height - 0.02 * (height > 0.06)
    travel = np.concatenate([to_place * (height > 0.055), rise], axis=1)
    lower = np.concatenate([to_place, -height], axis=1)
    shove = np.concatenate([ahead * np.minimum(far, 0.1) - aside, -height], axis=1)
    move = np.where(behind, np.where(height > 0.02, lower, shove), travel)
    return np.concatenate([10 * move, np.zeros_like(far)], axis=1)


def carry(seen, goal):
    """Actions [N, 4] that come down onto the object, shut the fingers and carry it."""
    off, thing = seen[:, 6:9], seen[:, 3:6]
    near = np.linalg.norm(off, axis=1, keepdims=True) < 0.015
    held = near & (seen[:, 9:11].sum(1, keepdims=True) < 0.052)
    above = np.linalg.norm(off[:, :2], axis=1) > 0.01
    come = np.where(near, 0, off + np.stack([0 * above, 0 * above, 0.08 * above], axis=1))
    move = np.where(held, goal - thing, come)
    return np.concatenate([10 * move, np.where(near, -1, 1)], axis=1)


CONTROLLERS = {"push": push, "slide": push, "pick": carry}


class Trail(NamedTuple):
    """What happened: T steps of N episodes."""

    goal: np.ndarray  # [N, 3]
    action: np.ndarray  # [T, N, 4]
    obs: np.ndarray  # [T+1, N, 25]
    achieved: np.ndarray  # [T+1, N, 3]
    physics: np.ndarray  # [T+1, N, P]


@pytest.fixture(scope="module", params=TASKS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def module(kind):
    return TASKS[kind]


@pytest.fixture(scope="module")
def sim(module):
    return module.make(module.Config())


@pytest.fixture(scope="module")
def ours(kind, sim):
    """Half of the episodes are random, half are led to the goal; some actions are out of bounds."""
    rng = np.random.default_rng(7)
    state, goal = sim.reset(keys(EPISODES))
    moments, actions = [(*sim.observe(state), state.state.physics)], []
    for _ in range(STEPS):
        action = rng.uniform(-1.2, 1.2, (EPISODES, 4))
        led = CONTROLLERS[kind](moments[-1][0], goal) + 0.1 * action
        action[EPISODES // 2 :] = led[EPISODES // 2 :]
        actions.append(action.astype(np.float32))
        state = sim.step(state, actions[-1])
        moments.append((*sim.observe(state), state.state.physics))
    return Trail(goal, np.stack(actions), *map(np.stack, zip(*moments, strict=True)))


@pytest.fixture(scope="module")
def reference(sim, ours):
    """The same as gymnasium-robotics has it, from the same generators and actions; its rewards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)
        env = gymnasium.make(sim.task.name)
        episodes = [_reference_episode(env, ours, i) for i in range(EPISODES)]
        env.close()
    goal, obs, achieved, physics, reward = zip(*episodes, strict=True)
    trail = [np.stack(x, axis=1) for x in (obs, achieved, physics)]
    return Trail(np.stack(goal), ours.action, *trail), np.stack(reward, axis=1)


def _reference_episode(env, ours, i):
    bare = env.unwrapped
    bare.np_random = np.random.default_rng(keys(EPISODES)[i])  # as our episode has it
    seen, _ = env.reset()
    goal = bare.goal.copy()
    bare.goal = ours.goal[i].astype(np.float64)  # rounded, so that rewards are equal at the rim
    moments, rewards = [_moment(bare, seen)], []
    for action in ours.action[:, i]:
        seen, reward, *_ = env.step(action)
        moments.append(_moment(bare, seen))
        rewards.append(reward)
    return goal, *map(np.stack, zip(*moments, strict=True)), np.stack(rewards)


def _moment(bare, seen):
    physics = np.concatenate([[bare.data.time], bare.data.qpos, bare.data.qvel])
    return seen["observation"], seen["achieved_goal"], physics


def test_the_reset_equals_the_reference_to_the_last_bit(ours, reference):
    np.testing.assert_array_equal(ours.physics[0], reference[0].physics[0])
    np.testing.assert_array_equal(ours.goal, reference[0].goal.astype(np.float32))


def test_the_physics_equals_the_reference_to_the_last_bit_at_every_step(ours, reference):
    np.testing.assert_array_equal(ours.physics, reference[0].physics)
    moved = np.linalg.norm(ours.achieved[-1] - ours.achieved[0], axis=-1) > 0.01
    assert moved[EPISODES // 2 :].all()


def test_observations_equal_the_reference_up_to_single_precision(ours, reference):
    np.testing.assert_allclose(ours.obs, reference[0].obs, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.achieved, reference[0].achieved, rtol=1e-7, atol=1e-9)


def test_rewards_equal_the_reference(sim, ours, reference):
    success = sim.task.success(ours.achieved[1:], ours.goal)
    np.testing.assert_array_equal(success - 1.0, reference[1])
    assert success.any()
    assert not success.all()


# Of key [0, 1] the observation, part by part, and the goals of the keys [0, 1] and [2, 3].
GOLDEN = {
    "push": (
        [
            [1.34551573, 0.74902612, 0.413616955],  # grip
            [1.46246231, 0.766165733, 0.424702078],  # object
            [0.11694663, 0.017139608, 0.011085134],  # object from grip
            [-2.45578735e-06, 0.00121361122],  # fingers
            [0, 0, 0],  # angles
            [0.000499835704, -3.61217499e-05, 3.88756853e-05],  # velocity from grip's
            [0, 0, 0],  # spin
            [-0.000499835704, 3.61217499e-05, 7.95232063e-06],  # grip's velocity
            [2.5117447e-07, 7.48549428e-05],  # fingers' velocities
        ],
        [[1.4358131, 0.88597846, 0.42469975], [1.4728868, 0.8178109, 0.42469975]],
    ),
    "slide": (
        [
            [0.99269235, 0.74904329, 0.4126617],  # grip
            [1.0529113, 0.84034353, 0.4135381],  # object
            [0.06021899, 0.091300264, 0.00087639969],  # object from grip
            [-4.1643293e-06, 0.0015559217],  # fingers
            [-0.0035649643, -0.00013662787, 0.02118816],  # angles
            [0.00078280509, 5.7535104e-05, 2.718506e-05],  # velocity from grip's
            [-0.020586928, -0.00053887558, 0.0070949751],  # spin
            [-0.00074748188, 4.9912644e-05, 8.3142568e-06],  # grip's velocity
            [2.2711066e-07, 0.00011834027],  # fingers' velocities
        ],
        [[1.1278988, 0.59088117, 0.41353634], [1.2297891, 0.8888615, 0.41353634]],
    ),
    "pick": (
        [
            [1.341935, 0.74910104, 0.53472507],  # grip
            [1.4588569, 0.76624244, 0.42470208],  # object
            [0.11692191, 0.017141419, -0.11002296],  # object from grip
            [3.8350058e-06, 6.4595248e-08],  # fingers
            [0, 0, 0],  # angles
            [5.3746362e-06, 7.5442493e-08, 2.2166258e-05],  # velocity from grip's
            [0, 0, 0],  # spin
            [-5.3746362e-06, -7.5442493e-08, 2.4661747e-05],  # grip's velocity
            [-9.8789758e-07, 7.6650352e-08],  # fingers' velocities
        ],
        [[1.4322077, 0.8860552, 0.7792152], [1.4692814, 0.8178876, 0.42469975]],
    ),
}


def test_the_reset_is_the_one_written_down(kind, sim):
    state, goal = sim.reset(np.array([[0, 1], [2, 3]], np.uint32))
    obs, achieved = sim.observe(state)
    np.testing.assert_allclose(obs[0], np.concatenate(GOLDEN[kind][0]), rtol=0, atol=2e-7)
    np.testing.assert_allclose(goal, GOLDEN[kind][1], rtol=0, atol=2e-7)
    np.testing.assert_array_equal(achieved, obs[:, 3:6])


def test_the_task_is_the_reference_s(sim, module):
    task = sim.task
    assert task.name == module.NAME
    assert (task.horizon, task.terminates_on_success) == (50, True)
    assert (task.obs_shape, task.goal_shape, task.action) == ((25,), (3,), fetch.ACTION)
    state, goal = sim.reset(keys(3))
    obs, achieved = sim.observe(state)
    for x, shape in ((obs, task.obs_shape), (achieved, task.goal_shape), (goal, task.goal_shape)):
        assert (x.dtype, x.shape) == (np.float32, (3, *shape))
    far = np.float32([0, 0.03, 0.0401])
    assert not task.success(far, np.zeros(3, np.float32))
    assert task.success(far * np.float32(0.99), np.zeros(3, np.float32))


def test_an_episode_starts_from_its_key_alone(sim):
    some = keys(50)
    first, again = sim.reset(some), sim.reset(some[::-1])
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[::-1]), first, again)
    assert len(np.unique(first[1], axis=0)) == 50


def test_starts_and_goals_are_spread_as_in_the_reference(kind, sim):
    state, goal = sim.reset(keys(2000))
    obs, thing = sim.observe(state)
    grip = obs[0, :3]
    np.testing.assert_array_equal(obs[:, :3], np.broadcast_to(grip, (2000, 3)))

    near = {"push": 0.15, "slide": 0.1, "pick": 0.15}[kind]
    start = thing - grip
    np.testing.assert_allclose(np.abs(start[:, :2]).max(0), near, atol=2e-3)
    np.testing.assert_allclose(start[:, :2].mean(0), 0, atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(start[:, :2], axis=1).min(), 0.1, atol=1e-3)
    assert np.ptp(thing[:, 2]) < 1e-6

    wide = {"push": 0.15, "slide": 0.3, "pick": 0.15}[kind]
    middle = np.array({"push": (0, 0), "slide": (0.4, 0), "pick": (0, 0)}[kind])
    offset = goal[:, :2] - grip[:2] - middle
    np.testing.assert_allclose(offset.min(0), -wide, atol=2e-3)
    np.testing.assert_allclose(offset.max(0), wide, atol=2e-3)
    np.testing.assert_allclose(offset.mean(0), 0, atol=0.02)
    lift = goal[:, 2] - thing[:, 2]
    raised = lift > 1e-5
    if kind == "pick":
        assert abs(raised.mean() - 0.5) < 0.04
        np.testing.assert_allclose(lift[raised].max(), 0.45, atol=2e-3)
        np.testing.assert_allclose(lift[raised].mean(), 0.225, atol=0.02)
    assert kind == "pick" or not raised.any()
    np.testing.assert_allclose(lift[~raised], 0, atol=1e-5)

    share = sim.task.success(thing, goal).mean()
    assert abs(share - {"push": 0.067, "slide": 0.004, "pick": 0.038}[kind]) < 0.015


def test_a_scripted_controller_reaches_goals(kind, sim):
    """All of them in Push and PickAndPlace. Its pucks are sent over half of the goals."""
    state, goal = sim.reset(keys(40, seed=3))
    reached = np.zeros(40, bool)
    for _ in range(STEPS):
        seen, _ = sim.observe(state)
        state = sim.step(state, CONTROLLERS[kind](seen, goal).astype(np.float32))
        success = sim.task.success(sim.observe(state)[1], goal)
        reached |= success
    assert reached.mean() >= {"push": 0.95, "slide": 0.4, "pick": 0.95}[kind]
    assert kind == "slide" or success.mean() >= 0.95  # and they stay


def test_the_fourth_action_opens_and_shuts_the_fingers_of_pick_and_place_only(kind, sim):
    state, _ = sim.reset(keys(1)[[0, 0, 0]])
    action = np.float32([[0, 0, 0, -1], [0, 0, 0, 0], [0, 0, 0, 1]])
    for _ in range(5):
        state = sim.step(state, action)
    fingers = sim.observe(state)[0][:, 9:11]
    if kind == "pick":
        np.testing.assert_allclose(fingers[[0, 2]], [[0, 0], [0.05, 0.05]], atol=2e-3)
    else:
        np.testing.assert_array_equal(fingers, 0)
        for x in jax.tree.leaves(state):
            np.testing.assert_array_equal(x, x[[0, 0, 0]])


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(sim, ours):
    rows = np.array([19, 2, 11])
    state, goal = sim.reset(keys(EPISODES)[rows])
    np.testing.assert_array_equal(goal, ours.goal[rows])
    for t, action in enumerate(ours.action):
        state = sim.step(state, action[rows])
        np.testing.assert_array_equal(state.state.physics, ours.physics[t + 1, rows])
        np.testing.assert_array_equal(sim.observe(state)[0], ours.obs[t + 1, rows])
        if t == 20:
            state, rows = rows_of(state, slice(1, None)), rows[1:]


def test_actions_are_clipped_and_a_step_leaves_the_state_it_was_given(sim):
    state, _ = sim.reset(keys(1))
    before = jax.tree.map(np.copy, state)
    steps = [sim.step(state, np.full((1, 4), a, np.float32)) for a in (7, 1, 0.5)]
    jax.tree.map(np.testing.assert_array_equal, state, before)
    jax.tree.map(np.testing.assert_array_equal, steps[0], steps[1])
    assert (steps[1].state.physics != steps[2].state.physics).any()


def test_divergence_shows_as_nan_stays_and_touches_no_other_episode(sim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs its warning
    sound, goal = sim.reset(keys(6))
    physics = sound.state.physics.copy()
    physics[1, -10] = 1e12  # a joint's velocity
    state = WarmState(State(physics, sound.state.sensors), sound.warm)
    for _ in range(2):
        action = np.zeros((6, 4), np.float32)
        state, sound = sim.step(state, action), sim.step(sound, action)
        obs, achieved = sim.observe(state)
        np.testing.assert_array_equal(np.isnan(obs).any(axis=1), np.arange(6) == 1)
        np.testing.assert_array_equal(np.isnan(achieved).all(axis=1), np.arange(6) == 1)
        assert not sim.task.success(achieved, goal)[1]
        others = np.array([0, 2, 3, 4, 5])
        jax.tree.map(np.testing.assert_array_equal, rows_of(state, others), rows_of(sound, others))


def test_pictures_show_the_object(module):
    sim = module.make(module.Config(obs="image"))
    state, _ = sim.reset(keys(4))
    images, achieved = sim.observe(state)
    assert (images.dtype, images.shape) == (np.uint8, (4, 48, 48, 3))
    assert achieved.shape == (4, 3)
    # Nothing but the place of the object differs among these.
    for one, other in ((0, 1), (1, 2), (2, 3)):
        changed = (images[one] != images[other]).any(axis=-1).sum()
        assert 4 <= changed <= 200


def test_pictures_do_not_show_the_goal(kind, module):
    """The model has a ball that marks it: the image is the same wherever the ball is."""
    model = fetch.compile_fetch(module.SETTING.xml, fetch_object.SENSORS)
    state, _ = module.make(module.Config()).reset(keys(1))
    obs_camera, body = module.SCENE.obs_camera, model.site("target0").bodyid[0]
    images = []
    for hidden in (module.SCENE.hidden, ()):
        for place in ((1.3, 0.8, 0.5), (1.2, 0.7, 0.5)):
            model.site("target0").pos = np.subtract(place, model.body_pos[body])
            images.append(camera(model, obs_camera, 48, 48, hidden)(state.state.physics[0], ()))
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[2] != images[3]).any()


def test_angles_are_those_of_turns_about_x_y_z():
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1, 1, (500, 3)) * [np.pi, np.pi / 2, np.pi]
    matrices = Rotation.from_euler("XYZ", angles).as_matrix()
    np.testing.assert_allclose(fetch_object.euler(matrices), angles, atol=1e-9)
    upright = np.array([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]])  # y by a right angle, z as well
    np.testing.assert_allclose(fetch_object.euler(upright), [[0, np.pi / 2, np.pi / 2]])


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"threshold": 0.0}])
def test_impossible_configs_are_refused(module, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        module.Config(**wrong)


def test_goals_cannot_be_told_as_pictures(module):
    with pytest.raises(UserError, match="does not support image goals"):
        module.make(module.Config(obs="image", goal="image"))
