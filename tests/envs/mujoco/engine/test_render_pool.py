"""Images by several processes: the same as by one, in their order, and whatever dies."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.engine.camera import camera
from hem.envs.mujoco.engine.render_pool import Helper, render_pool
from hem.errors import UserError

SCENE = ("external_camera_0", 32, 48, ("target0",))


@pytest.fixture(scope="module")
def model():
    return fetch.compile_fetch("reach.xml")


@pytest.fixture(scope="module")
def states(model):
    start = fetch.set_up(model, fetch_reach.BASE, 0.2)[0]
    states = np.stack([start] * 7)
    states[:, 1 + 6] += np.linspace(-0.5, 0.5, 7)  # the shoulder
    return states


@pytest.fixture(scope="module")
def expected(model, states):
    render = camera(model, *SCENE)
    return np.stack([render(state, ()) for state in states])


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_many_states_are_drawn_at_once_and_in_their_order(model, states, expected, processes):
    render_batch = render_pool(model, *SCENE, processes)
    np.testing.assert_array_equal(render_batch(states), expected)
    for n in (1, 2, 5):  # fewer than there are processes, too
        np.testing.assert_array_equal(render_batch(states[:n]), expected[:n])


def test_a_process_that_dies_is_started_again_and_no_picture_is_missing(model, states, expected):
    helper = Helper((model, *SCENE))
    for moment in ("before", "after"):
        if moment == "before" and helper._links:
            os.kill(helper._links[0].process.pid, signal.SIGKILL)
        helper.ask(states)
        if moment == "after":
            os.kill(helper._links[0].process.pid, signal.SIGKILL)
        np.testing.assert_array_equal(helper.answer(states), expected)


def test_one_that_dies_again_and_again_is_given_up(states):
    helper = Helper(("no model",))  # its process fails at once
    helper.ask(states)
    with pytest.raises(UserError, match="died 3 times"):
        helper.answer(states)


def test_processes_end_with_the_one_that_they_draw_for(tmp_path):
    code = f"""
import numpy as np
from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.engine.render_pool import Helper
model = fetch.compile_fetch("reach.xml")
helper = Helper((model, *{SCENE!r}))
states = np.stack([fetch.set_up(model, fetch_reach.BASE, 0.2)[0]] * 2)
helper.ask(states)
assert helper.answer(states).shape == (2, 32, 48, 3)
print(helper._links[0].process.pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
