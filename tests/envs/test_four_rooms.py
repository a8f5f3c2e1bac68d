"""FourRooms against a map drawn by hand and an exact dynamic programme."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from hem.envs import four_rooms
from hem.errors import UserError

MAP = [
    ".....#.....",
    ".....#.....",
    "...........",
    ".....#.....",
    ".....#.....",
    "#.####.....",
    ".....###.##",
    ".....#.....",
    ".....#.....",
    "...........",
    ".....#.....",
]
CELLS = [(r, c) for r, c in itertools.product(range(11), repeat=2) if MAP[r][c] == "."]
CORNERS = [(0, 0), (0, 10), (10, 0), (10, 10)]
GOALS = [cell for cell in CELLS if cell not in CORNERS]
HORIZON, SLIP = 31, 0.2


def neighbor(cell: tuple[int, int], action: int) -> tuple[int, int]:
    """The cell up, down, left or right of this one; the same one where there is a wall."""
    row, column = cell
    moved = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)][action]
    return moved if moved in CELLS else cell


NEXT = np.array([[CELLS.index(neighbor(cell, a)) for a in range(4)] for cell in CELLS])


class Optimum(NamedTuple):
    success: float  # mean over starts and goals
    action: np.ndarray  # [goal, moves left - 1, cell]


def programme(random: bool) -> Optimum:
    """Backwards induction of the chance to visit the goal in the moves that are left."""
    starts = [CELLS.index(cell) for cell in CORNERS]
    actions, chances = [], []
    for goal in map(CELLS.index, GOALS):
        value, chosen = np.zeros(len(CELLS)), []
        for _ in range(HORIZON):
            outcome = np.where(goal == NEXT, 1.0, value[NEXT])  # [cell, move]
            expected = (1 - SLIP) * outcome + SLIP * outcome.mean(1, keepdims=True)
            value = expected.mean(1) if random else expected.max(1)
            chosen.append(expected.argmax(1))
        chances.append(value[starts].mean())
        actions.append(chosen)
    return Optimum(float(np.mean(chances)), np.array(actions))


@pytest.fixture(scope="module")
def optimum() -> Optimum:
    return programme(random=False)


def make(**settings):
    return four_rooms.make(four_rooms.Config(**settings))


def cells_of(encoded) -> np.ndarray:
    """Row and column of one-hot cells."""
    return np.asarray(encoded).reshape(-1, 2, 11).argmax(-1)


def simulate(env, table: np.ndarray, episodes: int) -> int:
    """How many episodes visit their goal when actions come from the table."""
    number = np.full((11, 11), -1)
    number[tuple(np.array(CELLS).T)] = np.arange(len(CELLS))
    goal_number = np.full((11, 11), -1)
    goal_number[tuple(np.array(GOALS).T)] = np.arange(len(GOALS))
    table, number, goal_number = map(jnp.array, (table, number, goal_number))

    def cell(encoded):
        return tuple(encoded.reshape(2, 11).argmax(-1))

    def episode(key):
        reset_key, *step_keys = jax.random.split(key, HORIZON + 1)
        state, goal = env.reset(reset_key)

        def step(state, now):
            key, left = now
            where = cell(env.observe(state)[1])
            state = env.step(key, state, table[goal_number[cell(goal)], left, number[where]])
            return state, env.task.success(env.observe(state)[1], goal)

        left = jnp.arange(HORIZON)[::-1]
        return jax.lax.scan(step, state, (jnp.stack(step_keys), left))[1].any()

    keys = jax.random.split(jax.random.key(0), episodes)
    return int(jax.jit(jax.vmap(episode))(keys).sum())


def test_best_and_random_success_are_those_published(optimum):
    assert round(optimum.success, 3) == 0.998
    assert round(programme(random=True).success, 3) == 0.113


def test_the_best_policy_succeeds_as_often_as_the_programme_says(optimum):
    successes = simulate(make(), optimum.action, 10_000)
    assert binomtest(successes, 10_000, optimum.success).pvalue > 0.001


def test_random_actions_succeed_as_often_as_the_programme_says(optimum):
    successes = simulate(make(random_actions=1.0), optimum.action, 10_000)
    assert binomtest(successes, 10_000, programme(random=True).success).pvalue > 0.001


def test_the_map_has_104_cells_and_100_goals():
    plan = four_rooms.floor_plan()
    assert [tuple(cell) for cell in np.argwhere(plan)] == CELLS
    assert (len(CELLS), len(GOALS)) == (104, 100)


def test_an_episode_has_as_many_moves_as_the_programme():
    assert make().task.horizon == HORIZON
    assert make(horizon=7).task.horizon == 7


def test_without_slipping_moves_go_to_the_next_cell_or_stop_at_walls():
    env = make(random_actions=0.0)
    state = jnp.repeat(jnp.array(CELLS, jnp.int32), 4, axis=0)
    action = jnp.tile(jnp.arange(4), len(CELLS))
    keys = jax.random.split(jax.random.key(0), len(state))
    after = jax.vmap(env.step)(keys, state, action)
    np.testing.assert_array_equal(after, np.array(CELLS)[NEXT.ravel()])


def test_a_fifth_of_all_actions_is_random():
    """In the middle of a room, each wrong move has a chance of 0.05 and the right one 0.85."""
    env, middle = make(), jnp.array([2, 2], jnp.int32)
    keys = jax.random.split(jax.random.key(0), 10_000)
    for action in range(4):
        after = jax.vmap(env.step, (0, None, None))(keys, middle, action)
        moves = [CELLS.index(tuple(cell)) for cell in np.asarray(after).tolist()]
        counts = [moves.count(cell) for cell in NEXT[CELLS.index((2, 2))]]
        expected = 10_000 * np.where(np.arange(4) == action, 0.85, 0.05)
        assert chisquare(counts, expected).pvalue > 0.001


def test_start_is_a_uniform_corner_and_goal_independently_any_other_cell():
    env = make()
    start, goal = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 40_000))
    starts = [CORNERS.index(tuple(cell)) for cell in np.asarray(start).tolist()]
    goals = [GOALS.index(tuple(cell)) for cell in cells_of(goal).tolist()]  # so never a corner
    joint = np.bincount(np.array(starts) * 100 + np.array(goals), minlength=400)
    assert chisquare(joint).pvalue > 0.001


def test_success_is_being_in_the_goal_s_cell():
    for encoding in ("one-hot", "coordinates"):
        env = make(encoding=encoding)
        seen = jax.vmap(env.observe)(jnp.array(CELLS, jnp.int32))[1]
        for numpy in (np, jnp):
            cells = numpy.asarray(seen)
            success = env.task.success(cells[:, None], cells)
            np.testing.assert_array_equal(success, np.eye(len(CELLS), dtype=bool))


def test_both_encodings_say_the_same():
    one_hot, plain = make(), make(encoding="coordinates")
    keys = jax.random.split(jax.random.key(0), 200)
    (state, goal), (same_state, same_goal) = (jax.vmap(w.reset)(keys) for w in (one_hot, plain))
    np.testing.assert_array_equal(cells_of(goal), same_goal)
    for t in range(5):
        action = jnp.full(200, t % 4)
        state = jax.vmap(one_hot.step)(keys, state, action)
        same_state = jax.vmap(plain.step)(keys, same_state, action)
        for hot, cell in zip(
            jax.vmap(one_hot.observe)(state), jax.vmap(plain.observe)(same_state), strict=True
        ):
            assert hot.dtype == np.int8
            assert cell.dtype == np.float32
            assert (hot.sum(1) == 2).all()
            np.testing.assert_array_equal(cells_of(hot), cell)
            np.testing.assert_array_equal(cell, state)


@pytest.mark.parametrize(
    "wrong", [{"random_actions": 1.1}, {"random_actions": -0.1}, {"horizon": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        four_rooms.Config(**wrong)
