"""Pictures of FetchReach-v4, drawn without a screen."""

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.camera import camera
from hem.envs.mujoco.simulator import State

DRAW = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from hem.envs.mujoco import fetch_reach
from hem.envs.mujoco.simulator import State
from hem.errors import UserError
sim = fetch_reach.make(fetch_reach.Config())
state, goal = sim.reset(np.zeros((1, 2), np.uint32))
row = State(*(x[0] for x in state))
try:
    with ThreadPoolExecutor(3) as pool:  # no picture before: they race for the backend
        pictures = list(pool.map(lambda _: sim.draw(row, goal[0]), range(6)))
    assert all((picture == sim.draw(row, goal[0])).all() for picture in pictures)
    print(pictures[0].shape, pictures[0].std() > 10)
except UserError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def model():
    return fetch.compile_fetch("reach.xml")


@pytest.fixture(scope="module")
def start(model):
    return fetch.set_up(model, fetch_reach.BASE, 0.2)[0]


@pytest.fixture(scope="module")
def draw(model):
    return camera(model, fetch.MARKER, "external_camera_0", height=64, width=96)


def red(picture):
    """Where the goal's marker, which alone is red, is seen: bool[H, W]."""
    r, g, b = np.moveaxis(picture.astype(int), -1, 0)
    return (r > 100) & (g < 60) & (b < 60)


def test_a_picture_of_the_asked_size_shows_something(draw, start):
    picture = draw(start, np.array([1.34, 0.75, 0.6]))
    assert (picture.shape, picture.dtype) == ((64, 96, 3), np.uint8)
    assert picture.std() > 10


def test_the_goal_is_shown_where_it_is(draw, start):
    places = [np.array([1.34, y, 0.6]) for y in (0.65, 0.85)]
    columns = [np.nonzero(red(draw(start, place)))[1] for place in places]
    assert min(map(len, columns)) > 0
    # The camera looks back at the robot, so that larger y is further right or left, never equal.
    assert abs(columns[0].mean() - columns[1].mean()) > 10


def test_the_robot_is_shown_where_it_is(draw, start):
    goal = np.array([1.34, 0.75, 0.6])
    bent = start.copy()
    bent[1 + 6] += 0.5  # the shoulder
    assert (draw(bent, goal) != draw(start, goal)).any(axis=-1).sum() > 50


def test_where_the_mocap_is_does_not_show(model, draw, start):
    moved = copy.copy(model)
    moved.body_pos[moved.body_mocapid >= 0] = [1.34, 0.75, 0.6]
    goal = np.array([1.34, 0.65, 0.6])
    picture = camera(moved, fetch.MARKER, "external_camera_0", height=64, width=96)(start, goal)
    np.testing.assert_array_equal(picture, draw(start, goal))


def test_the_same_state_gives_the_same_picture(draw, start):
    first = draw(start, np.array([1.34, 0.65, 0.6]))
    draw(start, np.array([1.34, 0.85, 0.6]))
    np.testing.assert_array_equal(draw(start, np.array([1.34, 0.65, 0.6])), first)


def test_each_thread_draws_the_same(draw, start):
    goal = np.array([1.34, 0.75, 0.6])
    expected = draw(start, goal)
    with ThreadPoolExecutor(3) as pool:
        for picture in pool.map(lambda _: draw(start, goal), range(12)):
            np.testing.assert_array_equal(picture, expected)


def test_a_free_view_and_a_cameras_name_differ(model, draw, start):
    goal = np.array([1.45, 0.6, 0.6])
    near = fetch.VIEW._replace(distance=1.2)
    far, close = (
        camera(model, fetch.MARKER, view, height=128, width=192)(start, goal)
        for view in (fetch.VIEW, near)
    )
    assert red(close).sum() > 2 * red(far).sum() > 0
    named = camera(model, fetch.MARKER, "external_camera_0", height=128, width=192)(start, goal)
    assert (named != far).mean() > 0.5


def test_the_task_draws_its_state(start):
    sim = fetch_reach.make(fetch_reach.Config())
    state, goal = sim.reset(np.zeros((2, 2), np.uint32))
    row = State(*(x[1] for x in state))
    picture = sim.draw(row, goal[1])
    assert (picture.shape, picture.dtype) == ((320, 320, 3), np.uint8)
    assert red(picture).any()


def run(code, **variables):
    """Run in a fresh process without a screen; return what it printed and its complaints."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MUJOCO_GL")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize("before", ["", "import mujoco\n"], ids=["alone", "after mujoco"])
def test_no_screen_is_needed_and_exit_is_silent(before):
    assert run(before + DRAW) == ("(320, 320, 3) True", "")


def test_a_display_that_is_gone_does_no_harm():
    assert run(DRAW, DISPLAY=":987") == ("(320, 320, 3) True", "")


def test_without_a_working_backend_the_error_says_what_to_do():
    printed, complaints = run(DRAW, MUJOCO_GL="disable")
    assert "MUJOCO_GL is disable" in printed
    assert "apt-get install libegl1" in printed
    assert complaints == ""
