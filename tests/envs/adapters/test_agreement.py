"""hem's success against the environment's own word, in training and in ``hem check``."""

from __future__ import annotations

import re

import numpy as np
import pytest
import toys
import words
from running import called

from hem import registry
from hem.cli.check import examine
from hem.errors import UserError

HERE = words.__file__
FUNCTION = r"--threshold DISTANCE or --success FILE\.py:FUNCTION"
CONTRADICTS = {
    "Scaled": rf"for desired goal \[.*\] is not a success .* hem .*is_success True.*{FUNCTION}",
    "Above": rf"returns -1 if \[.*\] is both achieved and desired, and 0 for other.*{FUNCTION}",
    "OwnGoal": rf"returns -1 if \[.*\] is both achieved and desired.*{FUNCTION}",
    "OwnGoalSilent": rf"both achieved and desired.*{FUNCTION}",
    "Cost": rf"returns 0 if \[.*\] is both achieved and desired, and 1 for other.*{FUNCTION}",
    "Stricter": rf"is a success .* hem .*not according to the .*is_success False.*{FUNCTION}",
    "Inverted": rf"\(reward 0, is_success (True|False)\).*{FUNCTION}",
    "Manhattan": rf"own compute_reward.*not according to the .*\(reward 0.*{FUNCTION}",
    "Moving": r"goal changes mid-episode, .*end the episode instead",
    "MovingOnSuccess": r"goal changes mid-episode, .*end the episode instead",
    "Wide": r"observation contains (299|30\d), but its space has integers from 0 to 1",
}
HONEST = [
    *("Near", "Cells", "Noisy", "Fined", "Shaped", "shifted", "Sticky", "Once", "AtTheEnd", "Ends"),
    *("Odd", "Lattice", "Sensor", "Jitter"),
]


def sure(name: str, **settings) -> dict:
    """The settings under which a toy is tried."""
    return {"horizon": 25, "slots": 8, "env_workers": 0} | settings


def findings(name: str, **settings) -> list[tuple[str, str]]:
    config = registry.load("environment", name).Config(**sure(name, **settings))
    return [(found.level, found.text) for found in examine.examine(name, config, episodes=20)]


@pytest.mark.parametrize("name", CONTRADICTS)
def test_a_contradiction_stops_training_with_an_example(open_world, run, name):
    with pytest.raises(UserError, match=CONTRADICTS[name]) as caught:
        run(open_world(f"{HERE}:{name}", **sure(name)), 32, ends=True)
    assert "\n" not in str(caught.value)
    assert f"words.py:{name}" in str(caught.value)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("name", ["Inverted", "Stricter", "Moving"])
def test_so_does_one_of_a_vector_environment(open_world, run, name, mode):
    settings = sure(name, slots=16, env_kwargs={"name": name, "mode": mode})
    with pytest.raises(UserError, match=CONTRADICTS[name]):
        run(open_world(f"{HERE}:rows", **settings), 32)


@pytest.mark.parametrize("name", ["Scaled", "Inverted", "Moving"])
def test_so_does_one_in_worker_processes(open_world, run, name):
    with pytest.raises(UserError, match=CONTRADICTS[name]):
        run(open_world(f"{HERE}:{name}", **sure(name, env_workers=2)), 32)


@pytest.mark.parametrize("name", CONTRADICTS)
def test_check_says_the_same(name):
    said = [text for level, text in findings(f"{HERE}:{name}") if level == "error"]
    if name == "Wide":
        assert any("observation is outside its space" in text for text in said)
    elif name.startswith("Moving"):
        assert any("the goal changes mid-episode" in text for text in said)
    else:
        assert any(re.search(CONTRADICTS[name], text) for text in said), said


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_environment_is_trained_in(open_world, run, name, ends):
    env = open_world(f"{HERE}:{name}", **sure(name))
    for first in range(0, 64, 32):
        assert (run(env, 32, first=first, ends=ends).length > 0).all()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("name", ["Near", "Ends", "Sticky", "AtTheEnd"])
def test_so_is_one_of_many_rows(open_world, run, name, mode):
    settings = sure(name, slots=16, env_kwargs={"name": name, "mode": mode})
    assert (run(open_world(f"{HERE}:rows", **settings), 33).length > 0).all()


@pytest.mark.parametrize("name", HONEST)
def test_check_does_not_call_the_honest_contradicting(name):
    assert not [text for _, text in findings(f"{HERE}:{name}") if "contradicts" in text]


@pytest.mark.parametrize(
    "name", ["gymnasium_robotics:FetchReach-v4", "gymnasium_robotics:PointMaze_Open_Diverse_G-v3"]
)
def test_registered_environments_are_honest(open_world, run, name):
    env = open_world(name, horizon=30, env_workers=0, slots=4)
    assert run(env, 4).length.tolist() == [30] * 4


def test_what_the_user_says_of_success_holds_and_check_warns(open_world, run):
    name = f"{HERE}:Scaled"
    env = open_world(name, **sure(name, threshold=1.0))
    assert (run(env, 32).length > 0).all()
    said = findings(name, threshold=1.0)
    assert any(level == "warning" and "as given" in text for level, text in said), said
    assert not any("contradicts" in text for _, text in findings(name, threshold=15.0))


def test_the_command_stops_before_a_run_is_made(tmp_path):
    result = called("train", f"{HERE}:Above", "--horizon", "20", "--run-dir", str(tmp_path / "run"))
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "--success" in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_toys_are_what_they_are_called():
    assert {*CONTRADICTS} | {*HONEST} <= set(vars(words))
    assert toys.THRESHOLD == 0.15
    assert np.isclose(words.Lattice.distance_threshold, 0.1)
