"""Whatever an environment does to hem, it is met with one line, in bounded time."""

from __future__ import annotations

import re
import time

import hostile
import jax
import numpy as np
import pytest
from running import hem

from hem import registry
from hem.cli.check import examine
from hem.errors import UserError

HERE = hostile.__file__
PATIENCE = 4.0
WRONG = {
    "NoSpace": "observation_space",
    "NoActions": "action_space",
    "Unwrapped": "nothing to see",
    "ArrayTerminated": "terminated is .* but should be True or False",
    "WordTerminated": "truncated is no, but should be True or False",
    "OldStep": "step returned a tuple of 4, but should return a tuple of observation, reward, term",
    "NoStep": "step returned a NoneType",
    "ListInfo": r"info is \[\], but should be a dict",
    "OldReset": "reset returned a dict, but should return a tuple of observation, info",
    "NoSeed": "unexpected keyword argument 'seed'",
    "NoInfo": "info is None, but should be a dict",
    "NoObservation": "observation",
    "Unspeakable": "Odd",
    "NaNGoal": "desired_goal contains NaN",
}
PLACES = ("constructor", "reset", "step", "compute_reward")


def module(name: str):
    return registry.load("environment", f"{HERE}:{name}")


def met(name: str, **settings) -> list[str]:
    """The lines with which training and ``hem check`` meet an environment."""
    config = module(name).Config(**{"horizon": 8, "patience": PATIENCE} | settings)
    with pytest.raises(UserError) as caught:
        module(name).make(config)
    said = examine.examine(f"{HERE}:{name}", config, episodes=2)
    errors = [found.text for found in said if found.level == "error"]
    assert errors
    for line in (str(caught.value), *errors):
        assert "\n" not in line
        assert "Traceback" not in line
    assert not any("hem check" in line for line in errors)
    return [str(caught.value), errors[0]]


@pytest.mark.parametrize("name", WRONG)
def test_what_no_environment_may_do_is_named(name):

    for line in met(name, env_workers=0):
        assert re.search(WRONG[name], line), line


@pytest.mark.parametrize("where", PLACES)
def test_a_call_of_exit_is_an_error_like_any(where):
    for line in met("Hostile", env_workers=0, env_kwargs={"what": "exit", "where": where}):
        assert "SystemExit: enough" in line


@pytest.mark.parametrize("where", PLACES)
def test_one_that_ends_its_process_is_named(where):
    for line in met("Hostile", env_kwargs={"what": "leave", "where": where}):
        assert "hostile.py:Hostile exited with status 0 in " in line
        assert where in line


@pytest.mark.parametrize("where", PLACES)
def test_one_that_hangs_is_named_within_its_patience(where):
    began = time.monotonic()
    for line in met("Hostile", env_kwargs={"what": "hang", "where": where}):
        assert f"hostile.py:Hostile did not respond for {PATIENCE:g} s in " in line
        assert where in line
        assert "--patience" in line
    assert time.monotonic() - began < 500  # it would sleep for longer


@pytest.mark.parametrize("what", ["hang", "leave", "exit"])
def test_one_that_does_not_close_is_of_use_all_the_same(what, run):
    settings = {"horizon": 8, "env_workers": 1, "env_kwargs": {"what": what, "where": "close"}}
    env = module("Hostile").make(module("Hostile").Config(**settings))
    assert run(env, 2).length.tolist() == [8, 8]
    config = module("Hostile").Config(**settings)
    found = examine.examine(f"{HERE}:Hostile", config, episodes=2)
    assert not [one for one in found if one.level == "error"]


@pytest.mark.parametrize("what", ["hang", "leave", "exit"])
def test_one_that_does_not_draw_is_named(what):
    config = module("Hostile").Config(
        horizon=8, patience=PATIENCE, env_kwargs={"what": what, "where": "render"}
    )
    env = module("Hostile").film(config)
    state, goal = env.reset(np.zeros((1, 2), np.uint32))
    with pytest.raises(UserError, match=r"died or hung in render\(\)|SystemExit: enough"):
        env.render(jax.tree.map(lambda x: x[0], state), goal[0])


@pytest.mark.parametrize(
    ("function", "says"),
    [("exits", "SystemExit"), ("leaves", "status 0"), ("hangs", "not respond for 4 s in its succ")],
)
def test_a_success_function_is_met_in_the_same_way(function, says):
    for line in met("Plain", success=f"{HERE}:{function}"):
        assert says in line


def test_a_reward_that_is_no_number_is_told_by_check_only(open_world, run):
    name = f"{HERE}:NaNReward"
    assert (run(open_world(name), 4).length == 8).all()
    config = registry.load("environment", name).Config(horizon=8, env_workers=0)
    found = examine.examine(name, config, episodes=2)
    assert any(one.level == "error" and "reward is nan" in one.text for one in found)


@pytest.mark.parametrize("command", ["train", "check"])
def test_the_command_fails_with_one_line(command, tmp_path):
    kwargs = ("--env-kwargs", "what=leave", "where=step", "--horizon", "8")
    result = hem(command, f"{HERE}:Hostile", *kwargs, cwd=tmp_path)
    assert result.returncode == {"train": 2, "check": 1}[command]
    said = result.stderr if command == "train" else result.stdout
    assert "exited with status 0 in step 1 after reset(seed=0)" in said
    assert "Traceback" not in result.stdout + result.stderr
    assert not list(tmp_path.iterdir())
