"""The batched physics, on a model of two balls over a floor."""

import threading

import mujoco
import numpy as np
import pytest

from hem.envs.mujoco.engine import batched as module
from hem.envs.mujoco.engine.batched import Physics, Rules, State, batched_env
from hem.envs.mujoco.engine.model import Sensor, compile_model, position_column, velocity_column
from hem.types import Box, Task

SUBSTEPS = 5
BALLS = """
<mujoco>
  <option timestep="0.01"/>
  <size memory="{memory}"/>
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    <body name="a" pos="0 0 1">
      <joint name="a x" type="slide" axis="1 0 0" damping="0.1"/>
      <joint name="a z" type="slide" axis="0 0 1"/>
      <geom size="0.1"/>
    </body>
    <body name="b" pos="2 0 1">
      <joint name="b z" type="slide" axis="0 0 1"/>
      <geom size="0.1"/>
    </body>
  </worldbody>
  <actuator><motor joint="a x" ctrlrange="-9 9"/></actuator>
</mujoco>
"""


def balls(folder, memory="1M"):
    file = folder / "balls.xml"
    file.write_text(BALLS.format(memory=memory))
    sensors = {
        "place": Sensor("framepos", "body", "a"),
        "pace": Sensor("framelinvel", "body", "a"),
    }
    return compile_model(file, sensors)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return balls(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def physics(model):
    return Physics(model, mujoco.mjtState.mjSTATE_CTRL, SUBSTEPS)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory


def states(model, n, seed=0):
    """Rows of physics state with random places and velocities, some about to hit the floor."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-0.95, 0.3, (n, model.nq))
    return np.concatenate([np.zeros((n, 1)), place, rng.normal(size=(n, model.nv))], axis=1)


def push(n, seed=1):
    return np.random.default_rng(seed).uniform(-5, 5, (n, 1))


def test_advance_equals_mj_step_at_every_substep(model, physics):
    start, control = states(model, 7), push(7)
    path = physics.step(start, control)
    spec = mujoco.mjtState.mjSTATE_FULLPHYSICS
    for row in range(7):
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, start[row], spec)
        data.ctrl[:] = control[row]
        for substep in range(SUBSTEPS):
            mujoco.mj_step(model, data)
            state = np.empty(start.shape[1])
            mujoco.mj_getState(model, data, state, spec)
            np.testing.assert_allclose(path[row, substep], state, rtol=0, atol=1e-9)


def test_the_balls_do_hit_the_floor(model, physics):
    """Without contacts among the states, the comparison above would show little."""
    fall = velocity_column(model, "a z")
    start = states(model, 7)
    free = start[:, fall] - 9.81 * SUBSTEPS * physics.timestep
    assert (physics.step(start, push(7))[:, -1, fall] > free + 0.1).any()


def test_sense_reads_the_state_itself_not_the_one_before(model, physics):
    state = physics.step(states(model, 4), push(4))[:, -1]
    x, z = position_column(model, "a x"), position_column(model, "a z")
    vx, vz = velocity_column(model, "a x"), velocity_column(model, "a z")
    zero = np.zeros(4)
    expected = [state[:, x], zero, 1 + state[:, z], state[:, vx], zero, state[:, vz]]
    np.testing.assert_allclose(physics.read_sensors(state), np.stack(expected, axis=1), atol=1e-12)


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(model, physics):
    start, control = states(model, 33), push(33)
    rows = [31, 4, 5, 17]
    path = physics.step(start, control)
    np.testing.assert_array_equal(physics.step(start[rows], control[rows]), path[rows])
    sensed = physics.read_sensors(path[:, -1])
    np.testing.assert_array_equal(physics.read_sensors(path[rows, -1]), sensed[rows])


def test_the_number_of_threads_changes_nothing(model, physics, monkeypatch):
    start, control = states(model, 9), push(9)
    path = physics.step(start, control)
    for threads in (1, 3):
        monkeypatch.setattr(module, "usable_cores", lambda threads=threads: threads)
        other = Physics(model, mujoco.mjtState.mjSTATE_CTRL, SUBSTEPS)
        np.testing.assert_array_equal(other.step(start, control), path)
        np.testing.assert_array_equal(other.read_sensors(start), physics.read_sensors(start))


def test_no_rows_give_no_rows(model, physics):
    start = states(model, 0)
    assert physics.step(start, push(0)).shape == (0, SUBSTEPS, start.shape[1])
    assert physics.read_sensors(start).shape == (0, 6)


@pytest.mark.parametrize("value", [1e11, np.inf, np.nan])
def test_a_row_that_diverges_is_nan_and_the_others_are_untouched(model, physics, value):
    start, control = states(model, 5), push(5)
    expected = physics.step(start, control)
    start[2, velocity_column(model, "a z")] = value
    path = physics.step(start, control)
    assert np.isnan(path[2]).all()
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(path[others], expected[others])
    sensed = physics.read_sensors(path[:, -1])
    assert np.isnan(sensed[2]).all()
    np.testing.assert_array_equal(sensed[others], physics.read_sensors(expected[others, -1]))


def test_sense_does_not_reset_huge_numbers(model, physics):
    state = states(model, 1)
    state[0, position_column(model, "a x")] = 3e10
    np.testing.assert_allclose(physics.read_sensors(state)[0, 0], 3e10)


def test_a_bad_control_gives_nan(model, physics):
    control = push(3)
    control[1] = np.nan
    broken = np.isnan(physics.step(states(model, 3), control)).all(axis=(1, 2))
    np.testing.assert_array_equal(broken, [False, True, False])


def test_a_row_cut_short_by_a_full_buffer_is_nan(tmp_path):
    """MuJoCo's rollout ends such a row early and repeats its last state."""
    model = balls(tmp_path, memory="12K")
    physics = Physics(model, mujoco.mjtState.mjSTATE_CTRL, SUBSTEPS)
    start = np.zeros((2, 1 + model.nq + model.nv))
    start[1, position_column(model, "a z")] = -0.95
    start[1, position_column(model, "b z")] = -0.95
    broken = np.isnan(physics.step(start, np.zeros((2, 1)))).all(axis=(1, 2))
    np.testing.assert_array_equal(broken, [False, True])


def test_control_of_the_wrong_width_is_refused(model, physics):
    with pytest.raises(ValueError, match="control"):
        physics.step(states(model, 2), np.zeros((2, 2)))


def test_threads_may_share_the_physics(model, physics):
    starts = [states(model, 16, seed) for seed in range(4)]
    expected = [physics.step(start, push(16)) for start in starts]
    results = [[] for _ in starts]

    def work(i):
        for _ in range(30):
            results[i].append(physics.step(starts[i], push(16)))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for got, path in zip(results, expected, strict=True):
        assert len(got) == 30
        for one in got:
            np.testing.assert_array_equal(one, path)


@pytest.fixture(scope="module")
def env(model, physics):
    """Pushes the ball along x; what is sensed lags one substep behind, as in some tasks."""

    def start(key):
        return states(model, 1, key)[0], np.float32([key[0], key[1], 0])

    rules = Rules(
        start=start,
        control=lambda state, action: action + 0 * state.sensors[:, :1],
        post_step=lambda path: (path[:, -1], path[:, -2]),
        observe=lambda state: (state.physics, state.sensors[:, :3]),
    )
    task = Task(
        name="balls",
        obs_shape=(7,),
        obs_dtype=np.dtype(np.float64),
        goal_shape=(3,),
        goal_dtype=np.dtype(np.float32),
        action=Box((-2.0,), (2.0,)),
        horizon=3,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=True,
        version_hash="",
    )
    return batched_env(task, physics, rules, render=lambda one, goal: np.append(one.physics, goal))


KEYS = np.array([[3, 4], [5, 6]], np.uint32)


def test_reset_starts_a_row_from_each_key(env, model, physics):
    state, goal = env.reset(KEYS)
    np.testing.assert_array_equal(goal, [[3, 4, 0], [5, 6, 0]])
    np.testing.assert_array_equal(state.physics[1], states(model, 1, KEYS[1])[0])
    np.testing.assert_array_equal(state.sensors, physics.read_sensors(state.physics))


def test_step_advances_from_where_the_rules_settle_and_senses_what_they_see(env, physics):
    state, _ = env.reset(KEYS)
    action = np.float32([[1.5], [-1.0]])
    after = env.step(state, action)
    path = physics.step(state.physics, action)
    np.testing.assert_array_equal(after.physics, path[:, -1])
    np.testing.assert_array_equal(after.sensors, physics.read_sensors(path[:, -2]))


def test_step_clips_the_action_to_its_box(env):
    state, _ = env.reset(KEYS)
    far, edge, inside = (
        env.step(state, np.float32(a)).physics for a in ([[9], [-9]], [[2], [-2]], [[1], [-1]])
    )
    np.testing.assert_array_equal(far, edge)
    assert (far != inside).any(axis=1).all()


def test_draw_is_given_the_one_row(env):
    state, goal = env.reset(KEYS)
    row = State(*(x[1] for x in state))
    np.testing.assert_array_equal(env.render(row, goal[1]), np.append(state.physics[1], goal[1]))
