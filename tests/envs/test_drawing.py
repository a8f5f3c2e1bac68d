from __future__ import annotations

import time

import numpy as np
import pytest

from hem.envs import drawing
from hem.envs.four_rooms import floor_plan


def amount(image: np.ndarray, color: tuple[int, int, int]) -> int:
    """Pixels of exactly this color."""
    return int((image == np.array(color)).all(-1).sum())


def caption(image: np.ndarray) -> np.ndarray:
    return image[290:, 150:]


def bits(count: int, wrong: int) -> np.ndarray:
    """An image of ``count`` set bits, of which the first ``wrong`` ought not to be."""
    state = np.ones(count, np.int8)
    goal = state.copy()
    goal[:wrong] = 0
    return drawing.cells([state, goal], ["bits", "goal"])


def rooms(position: tuple[int, int], goal: tuple[int, int]) -> np.ndarray:
    return drawing.maze(floor_plan(), np.array(position), np.array(goal, np.float32))


PICTURES = {
    **{f"cells-{count}": lambda count=count: bits(count, 1) for count in (1, 25, 26, 100, 1000)},
    **{
        f"points-{dim}": lambda dim=dim: drawing.points(np.zeros(dim), np.full(dim, 0.5), 0.1)
        for dim in (1, 2, 3, 10, 300)
    },
    "maze": lambda: rooms((0, 0), (10, 10)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_video_frame_with_margins(name: str):
    image = PICTURES[name]()
    assert image.dtype == np.uint8
    assert image.shape == (320, 320, 3)
    border = np.ones((320, 320), bool)
    border[10:-8, 16:-16] = False
    assert (image[border] == drawing.PAPER).all()
    assert not (image == drawing.PAPER).all(-1).all()


@pytest.mark.parametrize("name", ["cells-100", "points-2", "points-10", "maze"])
def test_a_picture_takes_less_than_ten_milliseconds(name: str):
    times = []
    for _ in range(20):
        start = time.process_time()  # which does not count what others do on a busy machine
        PICTURES[name]()
        times.append(time.process_time() - start)
    assert min(times) < 0.01


@pytest.mark.parametrize("count", [1, 7, 25, 26, 100, 400])
def test_every_bit_has_a_cell_and_wrong_ones_are_red(count: int):
    """By the area of each color, for equal cells have equal areas."""
    right, wrong = bits(count, 0)[:285], bits(count, count)[:285]
    one = bits(count, 1)[:285]
    cell = amount(one, drawing.WRONG)
    assert cell > 0
    assert amount(right, drawing.WRONG) == amount(wrong, drawing.AGENT) == 0
    assert amount(right, drawing.AGENT) == count * cell == amount(wrong, drawing.WRONG)
    assert amount(one, drawing.AGENT) == (count - 1) * cell
    assert amount(right, drawing.GOAL) == count * cell


def test_a_wrong_bit_that_is_off_is_marked_too():
    off, on = np.zeros(5, np.int8), np.ones(5, np.int8)
    assert amount(drawing.cells([off, on], ["bits", "goal"]), drawing.WRONG) > 0


def test_many_bits_wrap_into_lines():
    few, many = bits(8, 0), bits(50, 0)
    assert np.ptp(np.nonzero((many == drawing.AGENT).all(-1))[0]) > 100
    assert np.ptp(np.nonzero((few == drawing.AGENT).all(-1))[0]) < 40


def test_more_than_two_rows_of_bits():
    state = np.zeros(10, np.int8)
    image = drawing.cells([state, 1 - state, state], ["one", "two", "goal"])
    assert amount(image[:150], drawing.WRONG) > 0
    assert amount(image[:135], drawing.WRONG) == 0


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_the_point_is_drawn_where_it_is(dim: int):
    for x in (-1.0, -0.3, 1.0):
        place = np.zeros(dim)
        place[0] = x
        image = drawing.points(place, np.full(dim, 0.9), 0.01)[:212]  # without the tracks
        column = np.nonzero((image == drawing.AGENT).all(-1))[1]
        half = (drawing.INNER / 2 if dim < 3 else 94) - 12
        assert column.mean() + 0.5 == pytest.approx(160 + x * half, abs=0.5)


def test_upwards_is_positive():
    def row(y: float) -> float:
        image = drawing.points(np.array([0, y]), np.array([0.5, 0]), 0.01)
        return np.nonzero((image[:285] == drawing.AGENT).all(-1))[0].mean()

    assert row(0.8) < row(0) < row(-0.8)


def test_the_circle_is_as_large_as_the_threshold():
    def width(threshold: float) -> int:
        image = drawing.points(np.array([-0.9, -0.9]), np.zeros(2), threshold)
        # The outline is thin, so its edges are mixtures; the agent is below the 200th row.
        greenish = abs(image[:200] - np.array(drawing.GOAL, float)).max(-1) < 80
        return int(np.ptp(np.nonzero(greenish)[1]))

    assert width(0.4) == pytest.approx(2 * 0.4 * 120, abs=4)
    assert width(0.2) == pytest.approx(2 * 0.2 * 120, abs=4)


def test_a_circle_larger_than_the_cube_stays_inside_the_map():
    image = drawing.points(np.zeros(2), np.zeros(2), 5.0)
    assert (image[:, :20] == drawing.PAPER).all()


def test_further_dimensions_show_how_far_they_are():
    def red(gap: float) -> int:
        place, goal = np.zeros(5), np.zeros(5)
        goal[4] = gap
        return amount(drawing.points(place, goal, 0.1), drawing.WRONG)

    assert red(0) == 0
    assert 0 < red(0.4) < red(0.8)
    assert red(0.8) == pytest.approx(red(-0.8), rel=0.2)


def test_the_maze_has_the_walls_of_its_plan_and_both_marks():
    image = rooms((0, 10), (10, 0))[18:282, 28:292]  # 24 pixels a cell
    centres = (np.arange(11) * 24 + 12).astype(int)
    is_wall = (image[np.ix_(centres, centres)] == drawing.WALL).all(-1)
    assert (is_wall == ~floor_plan()).all()
    assert (image[12, 10 * 24 + 12] == drawing.AGENT).all()
    assert (image[10 * 24 + 12, 12] == drawing.GOAL).all()


def test_a_maze_need_not_be_square():
    image = drawing.maze(np.ones((3, 7), bool), np.array([2, 6]), np.array([0.0, 0.0]))
    assert amount(image[:285], drawing.AGENT) > 0


@pytest.mark.parametrize(
    ("reached", "missed"),
    [
        (lambda: bits(30, 0), lambda: bits(30, 1)),
        (
            lambda: drawing.points(np.zeros(3), np.full(3, 0.05), 0.1),
            lambda: drawing.points(np.zeros(3), np.full(3, 0.06), 0.1),
        ),
        (lambda: rooms((3, 3), (3, 3)), lambda: rooms((3, 3), (3, 4))),
    ],
    ids=["cells", "points", "maze"],
)
def test_the_caption_is_green_where_the_goal_is_reached(reached, missed):
    assert amount(caption(reached()), drawing.GOAL) > 0
    assert amount(caption(missed()), drawing.GOAL) == 0


def test_the_arguments_are_left_alone():
    place, goal = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.2, 0.1])
    drawing.points(place, goal, 0.1)
    assert place.tolist() == [0.1, 0.2, 0.3]
    assert goal.tolist() == [0.3, 0.2, 0.1]
