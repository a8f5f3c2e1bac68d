"""The point mass: starts and goals, walls that hold, ways that exist, images that show it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from hem.envs.mujoco import point_mass
from hem.envs.mujoco.engine.batched import Physics, State
from hem.envs.mujoco.engine.model import compile_model
from hem.errors import UserError

RADIUS, DOOR = 0.05, 0.3  # m: the ball's, and from the middle of the house to that of a door
CORNERS = np.array(
    [(x, y) for x in (-0.55, -0.075, 0.075, 0.55) for y in (-0.55, -0.08, 0.08, 0.55)]
)


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(n, 2), dtype=np.uint32)


def at_rest(position):
    """The state of balls lying at position[N, 2]."""
    physics = np.zeros((len(position), 5))
    physics[:, 1:3] = position
    return State(physics, np.empty((len(position), 0)))


@pytest.fixture(scope="module")
def model():
    return compile_model(Path(point_mass.__file__).with_name("point_mass.xml"), {})


@pytest.fixture(scope="module")
def depth(model):
    """``depth(position[..., 2])``: how far the ball reaches into the nearest wall, m."""
    walls = [i for i in range(model.ngeom) if model.geom(i).type == mujoco.mjtGeom.mjGEOM_BOX]
    middle, half = model.geom_pos[walls, :2], model.geom_size[walls, :2]

    def measure(position):
        outside = np.maximum(np.abs(position[..., None, :] - middle) - half, 0)
        return RADIUS - np.linalg.norm(outside, axis=-1).min(-1)

    return measure


@pytest.fixture(scope="module")
def sim():
    return point_mass.make(point_mass.Config())


@pytest.fixture(scope="module")
def house():
    return point_mass.make(point_mass.Config(start="house"))


# --- how an episode begins ---------------------------------------------------------------------


def test_the_reset_is_the_one_written_down(sim):
    state, goal = sim.reset(np.array([[0, 1], [2, 3]], np.uint32))
    obs, achieved = sim.observe(state)
    golden = [[-0.306750596, -0.144260213, 0, 0], [-0.070363142, -0.396249145, 0, 0]]
    np.testing.assert_allclose(obs, golden, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(achieved, obs[:, :2])
    golden_goals = [[0.379472554, -0.130131751], [-0.282848358, 0.544909894]]
    np.testing.assert_allclose(goal, golden_goals, rtol=0, atol=1e-7)


def test_dtypes_and_shapes_are_those_of_the_task(sim):
    state, goal = sim.reset(keys(3))
    obs, achieved = sim.observe(state)
    assert (obs.dtype, obs.shape) == (sim.task.obs_dtype, (3, *sim.task.obs_shape))
    for x in (achieved, goal):
        assert (x.dtype, x.shape) == (sim.task.goal_dtype, (3, *sim.task.goal_shape))


def test_starts_lie_at_rest_in_the_south_west_room(sim):
    state, _ = sim.reset(keys(3000))
    obs, _ = sim.observe(state)
    assert (obs[:, :2] <= 0).all()
    np.testing.assert_array_equal(obs[:, 2:], 0)
    np.testing.assert_allclose(obs[:, :2].min(0), -0.55, atol=1e-3)
    np.testing.assert_allclose(obs[:, :2].max(0), 0, atol=5e-3)  # in the doors


def test_starts_and_goals_are_uniform_over_the_free_floor(house, model):
    state, goal = house.reset(keys(20000))
    low, high = point_mass.free_rectangles(model)
    share = (high - low).prod(1) / (high - low).prod(1).sum()
    for position in (state.physics[:, 1:3], goal):
        inside = ((low <= position[:, None]) & (position[:, None] < high)).all(-1)
        assert (inside.sum(1) == 1).mean() > 0.999  # a goal may be rounded over an edge
        np.testing.assert_allclose(inside.mean(0), share, atol=5 * np.sqrt(share.max() / 20000))
        np.testing.assert_allclose(position.min(0), -0.55, atol=1e-3)
        np.testing.assert_allclose(position.max(0), 0.55, atol=1e-3)
    assert abs(np.corrcoef(state.physics[:, 1:3].T, goal.T)[:2, 2:]).max() < 0.03


def test_no_start_and_no_goal_is_within_a_wall(sim, house, depth):
    for env in (sim, house):
        state, goal = env.reset(keys(20000, seed=1))
        assert depth(state.physics[:, 1:3]).max() < 1e-6
        assert depth(goal.astype(np.float64)).max() < 1e-6


def test_the_free_floor_leaves_out_nothing_but_the_corners_of_walls(model, depth):
    low, high = point_mass.free_rectangles(model)
    point = np.random.default_rng(0).uniform(-0.6, 0.6, (20000, 2))
    tiled = ((low <= point[:, None]) & (point[:, None] < high)).any(axis=(1, 2), where=True)
    tiled = ((low <= point[:, None]) & (point[:, None] < high)).all(-1).any(-1)
    free = depth(point) < 0
    assert not (tiled & ~free).any()
    # At each of 16 corners the ball's quarter disc is taken for a square.
    lost = 16 * (1 - np.pi / 4) * RADIUS**2 / 1.44
    assert (free & ~tiled).mean() == pytest.approx(lost, rel=0.3)


def test_the_same_key_gives_the_same_episode_and_others_differ(sim):
    some = keys(500)
    state, goal = sim.reset(some)
    again, same = sim.reset(some[::-1])
    np.testing.assert_array_equal(goal, same[::-1])
    np.testing.assert_array_equal(state.physics, again.physics[::-1])
    assert len(np.unique(goal, axis=0)) == len(np.unique(state.physics, axis=0)) == 500


# --- walls and ways ----------------------------------------------------------------------------


def test_walls_hold_against_any_push(house, model, depth):
    """Seen at every substep: a ball moves less in one than a wall is thick, so none slips by."""
    physics = Physics(model, mujoco.mjtState.mjSTATE_CTRL, point_mass.SUBSTEPS)
    rng = np.random.default_rng(0)
    state, _ = house.reset(keys(2000))
    at, push = state.physics, rng.choice([-1.0, 0.0, 1.0], (2000, 2))
    for _ in range(150):
        turn = rng.random(2000) < 0.1  # held for ten steps on average: long enough to cross a room
        push[turn] = rng.choice([-1.0, 0.0, 1.0], (turn.sum(), 2))
        path = physics.step(at, push)
        moved = np.diff(np.concatenate([at[:, None], path], axis=1)[..., 1:3], axis=1)
        assert np.linalg.norm(moved, axis=-1).max() < 0.025  # half a wall
        assert depth(path[..., 1:3]).max() < 0.02
        at = path[:, -1]
    assert len(np.unique(np.sign(at[:, 1:3]), axis=0)) == 4  # all rooms are visited


def test_a_ball_pushed_at_a_wall_comes_to_rest_before_it(sim, depth):
    state = at_rest(np.array([[0.3, 0.3], [-0.1, -0.1], [0.5, -0.1]]))
    push = np.float32([[1, 0], [1, 1], [0, 1]])
    for _ in range(30):
        state = sim.step(state, push)
    np.testing.assert_allclose(
        state.physics[:, 1:3], [[0.55, 0.3], [-0.075] * 2, [0.5, -0.075]], atol=3e-3
    )
    np.testing.assert_allclose(state.physics[:, 3:], 0, atol=1e-6)


def test_a_ball_goes_through_the_middle_of_every_door(sim):
    doors = np.array([(0, -DOOR), (0, DOOR), (-DOOR, 0), (DOOR, 0)])
    across = np.abs(doors.T[::-1].T) / DOOR
    state = at_rest(doors - 0.2 * across)
    for _ in range(4):
        state = sim.step(state, across.astype(np.float32))
    np.testing.assert_allclose(state.physics[:, 1:3], doors + across * 0.17, atol=0.03)


def test_at_full_speed_a_step_covers_a_tenth_of_the_house(sim):
    state = at_rest(np.array([[-0.5, -DOOR]]))
    places = []
    for _ in range(7):
        state = sim.step(state, np.float32([[1, 0]]))
        places.append(state.physics[0, 1])
    np.testing.assert_allclose(np.diff(places)[-2:], 0.12, atol=1e-3)
    np.testing.assert_allclose(state.physics[0, 3], 1.2, rtol=5e-3)


def waypoint(position, goal):
    """Where to go next from position[N, 2]: the goal, or before, within or behind a door."""
    rows = np.arange(len(goal))
    room, wanted = np.where(position < 0, -1, 1), np.where(goal < 0, -1, 1)
    crosses = room != wanted
    doors = [np.stack([0 * room[:, 0], DOOR * room[:, 1]], 1)]
    doors.append(np.stack([DOOR * room[:, 0], 0 * room[:, 1]], 1))
    ways = [np.linalg.norm(position - d, axis=1) + np.linalg.norm(goal - d, axis=1) for d in doors]
    axis = np.where(crosses.all(1), np.argmin(ways, axis=0), np.argmax(crosses, axis=1))
    target = np.choose(axis[:, None], doors)
    side = room[rows, axis]
    off = np.abs(position - target)[rows, 1 - axis]
    near = np.abs(position[rows, axis]) < 0.12
    target[rows, axis] = side * np.where(off < 0.06, -0.12, 0.05 + 0.12 * near)
    return np.where(crosses.any(1)[:, None], target, goal)


def steps_needed(env, state, goal):
    """Steps i64[N] that a planner who knows the doors takes; beyond the horizon if it fails."""
    needed = np.full(len(goal), env.task.horizon + 1)
    for step in range(env.task.horizon, 0, -1):
        position, velocity = state.physics[:, 1:3], state.physics[:, 3:]
        push = 12 * (waypoint(position, goal) - position) - 1.5 * velocity
        state = env.step(state, push.astype(np.float32))
        reached = env.task.success(env.observe(state)[1], goal)
        needed = np.where(reached & (needed > 50), 51 - step, needed)
    return needed


def test_every_goal_is_reached_in_time_from_everywhere_by_one_who_knows_the_doors(house):
    state, goal = house.reset(keys(1000, seed=4))
    assert steps_needed(house, state, goal).max() <= 20
    start, goal = np.repeat(CORNERS, 16, axis=0), np.tile(CORNERS, (16, 1)).astype(np.float32)
    assert steps_needed(house, at_rest(start), goal).max() <= 20


def test_so_it_is_with_the_hardest_threshold_of_the_reports():
    hard = point_mass.make(point_mass.Config(threshold=0.02, start="house"))
    state, goal = hard.reset(keys(300, seed=5))
    assert steps_needed(hard, state, goal).max() <= 22


def test_who_does_not_know_the_doors_fails_where_walls_are_in_the_way(sim):
    state, goal = sim.reset(keys(1000, seed=6))
    same_room = (goal < 0).all(1)
    reached = np.zeros(1000, bool)
    for _ in range(50):
        _, achieved = sim.observe(state)
        state = sim.step(state, 10 * (goal - achieved) - state.physics[:, 3:].astype(np.float32))
        reached |= sim.task.success(sim.observe(state)[1], goal)
    assert reached[same_room].all()
    assert 0.5 < reached[~same_room].mean() < 0.8


# --- the contract of a batched environment ------------------------------------------------------


def test_observed_are_position_and_velocity(sim):
    state, _ = sim.reset(keys(5))
    state = sim.step(state, np.float32([[1, 0.5]] * 5))
    obs, achieved = sim.observe(state)
    np.testing.assert_allclose(obs, state.physics[:, 1:], atol=1e-7)
    np.testing.assert_array_equal(achieved, obs[:, :2])
    before = sim.observe(sim.reset(keys(5))[0])[1]
    assert (achieved > before).all()  # pushed to the north-east


def test_a_subset_of_rows_equals_the_same_rows_of_the_batch(sim):
    actions = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 40, 2)).astype(np.float32)
    rows = np.array([39, 2, 11])
    whole, all_goals = sim.reset(keys(40))
    part, goals = sim.reset(keys(40)[rows])
    np.testing.assert_array_equal(goals, all_goals[rows])
    for action in actions:
        whole, part = sim.step(whole, action), sim.step(part, action[rows])
        np.testing.assert_array_equal(part.physics, whole.physics[rows])


def test_actions_are_clipped(sim):
    state, _ = sim.reset(keys(1))
    steps = [sim.step(state, np.full((1, 2), a, np.float32)).physics for a in (7, 1, 0.5)]
    np.testing.assert_array_equal(steps[0], steps[1])
    assert (steps[1] != steps[2]).any()


def test_a_step_leaves_the_state_it_was_given(sim):
    state, _ = sim.reset(keys(2))
    before = [x.copy() for x in state]
    sim.step(state, np.ones((2, 2), np.float32))
    for x, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(x, kept)


def test_divergence_shows_as_nan_and_stays(sim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs its warning
    state, goal = sim.reset(keys(3))
    physics = state.physics.copy()
    physics[1, 3] = 1e12
    state = state._replace(physics=physics)
    for _ in range(2):
        state = sim.step(state, np.zeros((3, 2), np.float32))
        obs, achieved = sim.observe(state)
        np.testing.assert_array_equal(np.isnan(obs).all(axis=1), [False, True, False])
        assert not sim.task.success(achieved, goal)[1]


@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.1])
def test_success_is_a_distance_in_fractions_of_the_house(threshold):
    success = point_mass.make(point_mass.Config(threshold=threshold)).task.success
    angle = np.linspace(0, 6, 50)
    goal = np.float32([0.2, -0.3])
    ring = 1.2 * threshold * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert success(np.float32(goal + 0.999 * ring), goal).all()
    assert not success(np.float32(goal + 1.001 * ring), goal).any()
    assert jax.jit(success)(jnp.asarray(goal + 0.999 * ring), jnp.asarray(goal)).all()


def test_the_task_takes_its_numbers_from_the_config(sim):
    config = point_mass.Config(horizon=9, terminates_on_success=False, threshold=0.1)
    other = point_mass.make(config).task
    assert (other.horizon, other.terminates_on_success) == (9, False)
    assert other.version_hash == sim.task.version_hash


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"start": "kitchen"}, {"horizon": 0}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        point_mass.Config(**wrong)


# --- images ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    return point_mass.make(point_mass.Config(obs="image", goal="image"))


def blue(images):
    """Which pixels bool[N, H, W] are the ball's."""
    red, _, blue = np.moveaxis(images.astype(int), -1, 0)
    return blue - red > 80


def centre(pixels):
    """Where these pixels bool[N, H, W] are on average, in m: f64[N, 2]."""
    size = pixels.shape[1]
    along = (np.arange(size) + 0.5) / size * 1.26 - 0.63
    x = (pixels.sum(1) * along).sum(1) / pixels.sum((1, 2))
    y = (pixels.sum(2) * -along).sum(1) / pixels.sum((1, 2))
    return np.stack([x, y], axis=1)


def test_a_picture_shows_ball_and_walls_where_they_are(seen):
    state = at_rest(np.concatenate([CORNERS, np.random.default_rng(0).uniform(0.1, 0.5, (8, 2))]))
    images, achieved = seen.observe(state)
    assert (images.dtype, images.shape) == (np.uint8, (24, 48, 48, 3))
    ball = blue(images)
    assert ball.sum((1, 2)).min() >= 8
    np.testing.assert_allclose(centre(ball), achieved, atol=0.5 * 1.26 / 48)
    dark = (images < 100).all(-1)
    wall = np.zeros((48, 48), bool)
    wall[[0, -1]] = wall[:, [0, -1]] = True  # the rim
    wall[23:25, 20:28] = wall[20:28, 23:25] = wall[23:25, [2, 4, 45, 43]] = True
    assert dark[:, wall].all()
    assert not dark[:, 23:25, 10:14].any()  # a door


def test_a_picture_does_not_depend_on_the_goal(seen):
    one, goal = seen.reset(keys(4))
    other, other_goal = seen.reset(keys(4, seed=1))
    assert (goal != other_goal).all()
    np.testing.assert_array_equal(
        seen.observe(one)[0], seen.observe(other._replace(physics=one.physics))[0]
    )


def test_a_goal_is_shown_as_the_ball_at_rest_there(seen):
    _, goal = seen.reset(keys(20))
    images = seen.render_goal(goal)
    np.testing.assert_allclose(centre(blue(images)), goal, atol=0.5 * 1.26 / 48)
    np.testing.assert_array_equal(images, seen.observe(at_rest(goal))[0])


def test_a_shown_goal_is_achieved_and_stays_so(sim, model):
    _, goal = sim.reset(keys(50))
    goal_state = point_mass._rules(model, "room").goal_state
    assert goal_state is not None
    state = State(goal_state(goal), np.empty((50, 0)))
    for _ in range(3):
        np.testing.assert_allclose(sim.observe(state)[1], goal, atol=1e-5)
        state = sim.step(state, np.zeros((50, 2), np.float32))
