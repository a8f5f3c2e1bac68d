"""Images of FetchReach-v4, drawn without a screen."""

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.engine.batched import State
from hem.envs.mujoco.engine.camera import Mark, camera
from hem.errors import UserError

DRAW = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from hem.envs.mujoco import fetch_reach
from hem.envs.mujoco.engine.batched import State
from hem.errors import UserError
sim = fetch_reach.make(fetch_reach.Config())
state, goal = sim.reset(np.zeros((1, 2), np.uint32))
row = State(*(x[0] for x in state))
try:
    with ThreadPoolExecutor(3) as pool:  # no image before: they race for the backend
        images = list(pool.map(lambda _: sim.render(row, goal[0]), range(6)))
    assert all((image == sim.render(row, goal[0])).all() for image in images)
    print(images[0].shape, images[0].std() > 10)
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
def render(model):
    return camera(model, "external_camera_0", 64, 96, ("target0",))


def ball(x, y, z):
    """A red mark there."""
    return Mark(np.array([x, y, z]), 0.02, (1, 0, 0, 1))


def red(image):
    """Where a mark, which alone is red, is seen: bool[H, W]."""
    r, g, b = np.moveaxis(image.astype(int), -1, 0)
    return (r > g + 60) & (r > b + 60)  # also of a translucent one


def test_a_picture_of_the_asked_size_shows_something(render, start):
    image = render(start)
    assert (image.shape, image.dtype) == ((64, 96, 3), np.uint8)
    assert image.std() > 10


def test_marks_are_shown_where_they_are_and_only_then(render, start):
    without = render(start)
    images = [render(start, [ball(1.34, y, 0.6)]) for y in (0.65, 0.85)]
    columns = [np.nonzero(red(image) & ~red(without))[1] for image in images]
    assert min(map(len, columns)) > 0
    # The camera looks back at the robot, so that larger y is further right or left, never equal.
    assert abs(columns[0].mean() - columns[1].mean()) > 10
    both = render(start, [ball(1.34, 0.65, 0.6), ball(1.34, 0.85, 0.6)])
    np.testing.assert_array_equal(red(both), red(images[0]) | red(images[1]))
    np.testing.assert_array_equal(render(start), without)


def test_what_is_hidden_is_not_seen(model, render, start):
    moved = copy.copy(model)
    site = moved.site("target0")
    site.sameframe[:] = 0  # else its own position is not looked at
    site.pos[:] = np.array([1.34, 0.65, 0.6]) - moved.body_pos[site.bodyid]
    shown, hidden = (
        camera(moved, "external_camera_0", 64, 96, names)(start) for names in ((), ("target0",))
    )
    assert red(shown).sum() > red(hidden).sum() + 3
    np.testing.assert_array_equal(hidden, render(start))


def test_the_robot_is_shown_where_it_is(render, start):
    bent = start.copy()
    bent[1 + 6] += 0.5  # the shoulder
    assert (render(bent) != render(start)).any(axis=-1).sum() > 50


def test_where_the_mocap_is_does_not_show(model, render, start):
    moved = copy.copy(model)
    moved.body_pos[moved.body_mocapid >= 0] = [1.34, 0.75, 0.6]
    image = camera(moved, "external_camera_0", 64, 96, ("target0",))(start)
    np.testing.assert_array_equal(image, render(start))


def test_the_same_state_gives_the_same_picture(render, start):
    first = render(start)
    render(start + 0.01)
    np.testing.assert_array_equal(render(start), first)


def test_each_thread_draws_the_same(render, start):
    expected = render(start)
    with ThreadPoolExecutor(3) as pool:
        for image in pool.map(lambda _: render(start), range(12)):
            np.testing.assert_array_equal(image, expected)


def test_a_free_view_and_a_cameras_name_differ(model, start):
    goal = [ball(1.45, 0.6, 0.6)]
    view = fetch.SCENE.video_camera
    far, close = (
        camera(model, v, 128, 192)(start, goal)
        for v in (view, view._replace(distance=view.distance / 2))
    )
    assert red(close).sum() > 2 * red(far).sum() > 0
    named = camera(model, "external_camera_0", 128, 192)(start, goal)
    assert (named != far).mean() > 0.5


def test_a_camera_that_is_not_there_is_named_with_those_that_are(model):
    with pytest.raises(UserError, match=r"no camera 'nose'.*head_camera_rgb.*external_camera_0"):
        camera(model, "nose", 48, 48)


def test_the_task_draws_its_state(start):
    sim = fetch_reach.make(fetch_reach.Config())
    state, goal = sim.reset(np.zeros((2, 2), np.uint32))
    row = State(*(x[1] for x in state))
    image = sim.render(row, goal[1])
    assert (image.shape, image.dtype) == ((320, 320, 3), np.uint8)
    assert red(image).any()


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


BEFORE = {
    "alone": "",
    "after mujoco": "import mujoco\n",
    "after another's choice": "import mujoco, os\nos.environ['MUJOCO_GL'] = 'egl'\n",
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_no_screen_is_needed_and_exit_is_silent(before):
    assert run(before + DRAW) == ("(320, 320, 3) True", "")


def test_a_display_that_is_gone_does_no_harm():
    assert run(DRAW, DISPLAY=":987") == ("(320, 320, 3) True", "")


def test_without_a_working_backend_the_error_says_what_to_do():
    printed, complaints = run(DRAW, MUJOCO_GL="disable")
    assert "MUJOCO_GL is disable" in printed
    assert "apt-get install libegl1" in printed
    assert complaints == ""
