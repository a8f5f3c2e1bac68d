"""Success by goal, against what plain loops find."""

import numpy as np
import pytest

from hem.looking import goals
from hem.looking.goals import Judged


def judged(goal, success, start=None) -> Judged:
    goal, success = np.asarray(goal), np.asarray(success, bool)
    return Judged(
        goal, np.zeros_like(goal) if start is None else np.asarray(start), success, success
    )


@pytest.fixture(scope="module")
def random() -> Judged:
    rng = np.random.default_rng(0)
    goal = rng.uniform(-1, 1, (500, 4)) * [1.0, 0.1, 3.0, 0.0]
    return judged(goal.astype(np.float32), goal[:, 0] + 0.3 * goal[:, 2] < 0.5)


def test_a_map_shows_the_coordinates_that_vary_most(random):
    assert goals.map_coordinates(random.goal) == [2, 0, 1]  # the last one does not vary
    assert goals.map_coordinates(random.goal[:, :1]) == []  # a line is no map
    assert goals.map_coordinates(random.goal[:, None]) == []  # nor is an image
    bits = np.random.default_rng(0).integers(0, 2, (50, 9)).astype(np.int8)
    assert goals.map_coordinates(bits) == []


def test_a_cell_has_the_success_of_the_goals_in_it(random):
    found = goals.cells(random, 0, 2)
    assert sum(cell.episodes for cell in found) > 450
    for cell in found:
        inside = [
            done
            for goal, done in zip(random.goal.astype(float), random.success, strict=True)
            if cell.x[0] <= goal[0] < cell.x[1] and cell.y[0] <= goal[2] < cell.y[1]
        ]
        assert abs(len(inside) - cell.episodes) <= 1  # the outermost goals are on an edge
        assert cell.success == pytest.approx(np.mean(inside), abs=1 / cell.episodes)
    assert not [cell for cell in found if cell.episodes < goals.FEWEST]


def test_policies_that_have_the_same_goals_share_their_spots():
    goal = np.array([[0.0, 1], [2, 3], [4, 5]])
    both = goals.pooled([judged(goal, [1, 0, 0]), judged(goal, [1, 1, 0])])
    spots, rate = goals.rate_by_goal(both, 0, 1)
    np.testing.assert_array_equal(spots, goal)
    np.testing.assert_array_equal(rate, [1, 0.5, 0])


def test_bits_are_as_far_apart_as_they_differ():
    rng = np.random.default_rng(1)
    goal, start = rng.integers(0, 2, (2, 200, 6)).astype(np.int8)
    success = rng.random(200) < 0.5
    found = goals.bars(judged(goal, success, start))
    for bar in found:
        done = [
            s for a, b, s in zip(goal, start, success, strict=True) if (a != b).sum() == bar.low
        ]
        assert (bar.episodes, bar.low) == (len(done), bar.high)
        assert bar.success == pytest.approx(np.mean(done))
        assert bar.interval[0] <= bar.success <= bar.interval[1]
    assert sum(bar.episodes for bar in found) == 200


def test_many_distances_are_put_into_bins_of_like_size(random):
    found = goals.bars(random)
    assert len(found) == goals.BINS
    assert sum(bar.episodes for bar in found) == 500
    far = np.sqrt((random.goal.astype(float) ** 2).sum(1))
    for i, bar in enumerate(found):
        last = i == len(found) - 1
        inside = (far >= bar.low) & ((far <= bar.high) if last else (far < bar.high))
        assert bar.episodes == inside.sum()
        assert bar.success == pytest.approx(random.success[inside].mean())
        assert abs(bar.episodes - 500 / goals.BINS) < 2


def test_images_have_a_distance_too():
    images = np.random.default_rng(0).integers(0, 255, (30, 4, 4, 3)).astype(np.uint8)
    found = goals.bars(judged(images, np.ones(30)))
    assert sum(bar.episodes for bar in found) == 30
    assert found[-1].high == pytest.approx(
        max(np.linalg.norm(image.ravel().astype(float)) for image in images)
    )
