"""Datasets that Minari itself has made, read: each episode and what it says, or one line."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium import spaces
from recording import GOAL, OBS, SPACES, altered, buffer_of, record

from hem.demos import reading
from hem.errors import UserError
from hem.types import Box, Spaces

pytestmark = pytest.mark.usefixtures("datasets")
ROOM = 100


@pytest.fixture(scope="module")
def episodes(task, random_episodes):
    return random_episodes(np.random.default_rng(0), task, [5, 2, 4])


@pytest.fixture(scope="module")
def buffers(episodes):
    return [buffer_of(episodes, row) for row in range(3)]


@pytest.fixture(scope="module")
def sound(datasets, buffers):
    record("read/sound-v0", buffers)
    return datasets / "read" / "sound-v0"


def test_each_frame_goal_and_action_is_read(sound, task, episodes):
    found = reading.read("read/sound-v0", task, ROOM)
    assert found.path == sound / "data"
    assert found.notes == []
    for ours, theirs in zip(found.episodes, episodes, strict=True):
        assert ours is theirs is None or ours.dtype == theirs.dtype
    np.testing.assert_array_equal(found.episodes.length, [5, 2, 4])
    np.testing.assert_array_equal(found.episodes.goal, episodes.goal)
    assert not found.episodes.failed.any()
    for row, steps in enumerate([5, 2, 4]):
        for name, n in (("obs", steps + 1), ("achieved", steps + 1), ("action", steps)):
            ours, theirs = (getattr(e, name)[row] for e in (found.episodes, episodes))
            np.testing.assert_array_equal(ours[:n], theirs[:n])
            assert not ours[n:].any()


def test_a_folder_is_a_name_too(sound, task, monkeypatch):
    by_name = reading.read("read/sound-v0", task, ROOM)
    monkeypatch.chdir(sound.parent)
    for folder in (sound, sound / "data", "sound-v0"):
        assert reading.read(str(folder), task, ROOM).sha256 == by_name.sha256


def test_the_digest_is_of_the_contents(task, buffers, episodes):
    record("digest/a-v0", buffers)
    record("digest/b-v0", [*buffers[:2], buffer_of(episodes._replace(obs=episodes.obs + 1), 2)])
    same, a, b = (reading.read(f"{name}-v0", task, ROOM).sha256
                  for name in ("read/sound", "digest/a", "digest/b"))  # fmt: skip
    assert same == a != b


def test_long_episodes_and_those_whose_goal_moves_are_split(task, episodes):
    goal = np.array([[0, 1]] * 2 + [[1, 1]] * 4, np.int8)  # it moves after the second frame
    record("split/a-v0", [altered(buffer_of(episodes, 0), "desired_goal", goal)])
    found = reading.read("split/a-v0", task._replace(horizon=2), ROOM)
    np.testing.assert_array_equal(found.episodes.length, [2, 2, 1])
    np.testing.assert_array_equal(found.episodes.goal, [[0, 1], [1, 1], [1, 1]])
    for row, first in enumerate([0, 2, 4]):
        n = int(found.episodes.length[row])
        np.testing.assert_array_equal(
            found.episodes.obs[row, : n + 1], episodes.obs[0, first : first + n + 1]
        )
        np.testing.assert_array_equal(
            found.episodes.action[row, :n], episodes.action[0, first : first + n]
        )
    (note,) = found.notes
    assert "1 became 3" in note


def test_a_goal_that_moves_after_the_last_action_splits_nothing(task, episodes):
    goal = np.array([[0, 1]] * 5 + [[1, 1]], np.int8)
    record("split/b-v0", [altered(buffer_of(episodes, 0), "desired_goal", goal)])
    found = reading.read("split/b-v0", task, ROOM)
    np.testing.assert_array_equal(found.episodes.goal, [[0, 1]])


@pytest.mark.parametrize(
    ("ends_at", "success", "failed"), [(2, 0, True), (2, 1, False), (5, 0, False), (0, 0, False)]
)
def test_a_failure_is_a_termination_before_the_horizon_and_short_of_the_goal(
    task, episodes, ends_at, success, failed
):
    row = {5: 0, 2: 1, 0: 1}[ends_at]
    buffer = buffer_of(episodes, row)
    steps = len(buffer.rewards)
    last = [False] * (steps - 1) + [ends_at > 0]
    goal = np.stack([[1, 1]] * (steps + 1)).astype(np.int8)
    achieved = np.zeros_like(goal)
    achieved[-1] = success
    buffer = altered(altered(buffer, "achieved_goal", achieved), "desired_goal", goal)
    name = f"failed/{ends_at}-{success}-v0"
    record(name, [type(buffer)(**vars(buffer) | {"terminations": last})])
    assert reading.read(name, task, ROOM).episodes.failed.tolist() == [failed]


def test_contradictions_are_counted(task, episodes):
    """Two in infos; by the rewards, which count where infos say nothing, three more."""
    goal = np.ones((6, 2), np.int8)
    achieved = np.array([[0, 0], [1, 1], [0, 0], [1, 1], [0, 0], [0, 0]], np.int8)
    whole = altered(
        altered(buffer_of(episodes, 0), "achieved_goal", achieved), "desired_goal", goal
    )
    told = vars(whole) | {"infos": {"is_success": np.array([0, 0, 0, 1, 0, 1])}}  # with reset's
    paid = vars(whole) | {"rewards": [-1.0, 0.0, -1.0, -1.0, -1.0]}
    record("contrary/a-v0", [type(whole)(**told), type(whole)(**paid)])
    (note,) = reading.read("contrary/a-v0", task, ROOM).notes
    assert "5 of 10 steps" in note
    fine = vars(whole) | {"infos": {"success": np.array([True, False, True, False, False])}}
    record("contrary/b-v0", [type(whole)(**fine)])
    assert reading.read("contrary/b-v0", task, ROOM).notes == []


def test_actions_out_of_bounds_are_clipped(task, episodes):
    bounded = task._replace(action=Box((-1.0, 0.0), (1.0, 3.0)))
    space = spaces.Box(np.float32([-1, 0]), np.float32([1, 3]))
    given = np.array([[0, 1], [-2, 1], [0, 1 + 1e-9], [1, 3], [0, 4]])
    record("clip/a-v0", [buffer_of(episodes, 0, actions=given)], action_space=space)
    found = reading.read("clip/a-v0", bounded, ROOM)
    np.testing.assert_allclose(
        found.episodes.action[0], [[0, 1], [-1, 1], [0, 1], [1, 3], [0, 3]], atol=1e-6
    )
    assert "2 of 5 actions" in found.notes[0]


def test_the_spaces_of_an_environment_are_its_own(task, episodes):
    """A dict of a number and a choice, and actions that start at -1."""
    inner = spaces.Dict(at=spaces.Box(0, 1, (2,), np.float64), door=spaces.Discrete(2, start=5))
    outer = spaces.Dict(SPACES | {"observation": inner})
    seen = {"at": np.arange(12).reshape(6, 2) / 12, "door": np.array([5, 6, 5, 5, 6, 6])}
    actions = spaces.Discrete(3, start=-1)
    whole = altered(buffer_of(episodes, 0), "observation", seen)
    whole = type(whole)(**vars(whole) | {"actions": np.array([-1, 0, 1, 1, 0])})
    record("nested/a-v0", [whole], outer, actions)
    own = task._replace(obs_shape=(4,), spaces=Spaces(inner, GOAL, actions))
    found = reading.read("nested/a-v0", own, ROOM)
    np.testing.assert_allclose(found.episodes.obs[0, :, :2], seen["at"], atol=1e-6)
    np.testing.assert_array_equal(found.episodes.obs[0, :, 2:].argmax(1), seen["door"] - 5)
    np.testing.assert_array_equal(found.episodes.action[0], [0, 1, 2, 2, 1])


def refused(name: str, task, *parts: str, room: int = ROOM) -> None:
    with pytest.raises(UserError) as error:
        reading.read(name, task, room)
    assert str(error.value).isprintable()
    for part in parts:
        assert part in str(error.value)


FITS_NOT = {
    "shape": ({"observation": spaces.Box(-1, 1, (4,), np.float32)}, None, "observation", "(4,)"),
    "dtype": ({"achieved_goal": spaces.Box(0, 1, (2,))}, None, "achieved_goal", "float32"),
    "bounds": ({"desired_goal": spaces.Box(0, 2, (2,), np.int8)}, None, "desired_goal", "high 2"),
    "kind": ({"observation": spaces.MultiBinary(3)}, None, "observation", "MultiBinary"),
    "actions": ({}, spaces.Discrete(4), "action", "n 4"),
    "start": ({}, spaces.Discrete(3, start=1), "action", "start 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", FITS_NOT)
def test_a_space_that_differs_is_named(task, case):
    changed, action, *parts = FITS_NOT[case]
    record(f"space/{case}-v0", [], spaces.Dict(SPACES | changed), action)
    refused(f"space/{case}-v0", task, "is not of Tiny", *parts)


def test_observations_without_goals_are_refused(task):
    record("space/flat-v0", [], OBS)
    refused("space/flat-v0", task, "goals need a Dict with observation, achieved_goal")


def with_nan(x: Any) -> np.ndarray:
    x = np.array(x, np.float64)
    x[1] = np.nan
    return x


BROKEN = {
    "obs": (lambda b: altered(b, "observation", with_nan(b.observations["observation"])), "NaN"),
    "goal": (lambda b: altered(b, "desired_goal", 5 * np.ones((6, 2), np.int8)), "contains 5"),
    "frames": (lambda b: altered(b, "observation", np.zeros((4, 3))), "must have 6 values"),
    "width": (lambda b: altered(b, "observation", np.zeros((6, 4))), "has shape (6, 4)"),
    "action": (lambda b: type(b)(**vars(b) | {"actions": np.full(5, 3)}), "not in Discrete(3)"),
    "half": (lambda b: type(b)(**vars(b) | {"actions": np.full(5, 0.5)}), "not in Discrete(3)"),
    "nan": (lambda b: type(b)(**vars(b) | {"actions": with_nan(b.actions)}), "an action contains"),
    "short": (lambda b: type(b)(**vars(b) | {"actions": b.actions[:3]}), "have shape (3,)"),
    "ends": (lambda b: type(b)(**vars(b) | {"terminations": [False]}), "how it ended"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_episode_that_cannot_be_is_named(task, buffers, case):
    breaks, said = BROKEN[case]
    record(f"broken/{case}-v0", [buffers[1], breaks(buffers[0])])
    refused(f"broken/{case}-v0", task, f"broken/{case}-v0, episode 1", said)


def test_an_empty_dataset_and_one_that_is_too_large_are_refused(task, sound):
    record("empty/a-v0", [])
    refused("empty/a-v0", task, "empty/a-v0 is empty")
    refused("read/sound-v0", task, "3 episodes", "increase --buffer-episodes by 1", room=2)
    short = task._replace(horizon=1)
    refused("read/sound-v0", short, "11 episodes", "--buffer-episodes by 8", room=3)


def test_an_unknown_name_comes_with_those_that_are_there(task, sound):
    refused("read/sounds-v1", task, "'read/sounds-v1'", "one of read/sound-v0", "minari download")
    refused("", task, "no Minari dataset ''")


def test_where_there_is_no_dataset_at_all_it_says_where(task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "none"))
    refused("D4RL/pen/human-v2", task, f"{tmp_path / 'none'} has none")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file"))
    refused("D4RL/pen/human-v2", task, "set MINARI_DATASETS_PATH")


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy") / "data"


def test_damage_is_one_line(copy, task):
    file, metadata = copy / "main_data.hdf5", copy / "metadata.json"
    whole, described = file.read_bytes(), metadata.read_text()
    file.write_bytes(whole[: len(whole) // 2])
    refused(str(copy), task, "cannot be read")
    file.write_bytes(b"")
    refused(str(copy), task, "cannot be read")
    file.write_bytes(whole)
    with h5py.File(file, "a") as open_file:
        del open_file["episode_1"]
    refused(str(copy), task, "cannot be read")
    file.unlink()
    refused(str(copy), task, "cannot be read")
    file.write_bytes(whole)
    changes = ({"minari_version": "9.9"}, {"data_format": "x"}, {"total_episodes": "x"})
    for change in changes:
        metadata.write_text(json.dumps(json.loads(described) | change))
        refused(str(copy), task, "cannot be read")
    metadata.write_text("{")
    refused(str(copy), task, "is damaged")


def test_no_environment_that_a_dataset_names_is_made(copy, task, tmp_path):
    metadata = copy / "metadata.json"
    described = json.loads(metadata.read_text())
    del described["observation_space"]
    entry = {"id": "Evil-v0", "entry_point": "os:mkdir", "kwargs": {"path": str(tmp_path / "evil")}}
    metadata.write_text(json.dumps(described | {"env_spec": json.dumps(entry)}))
    refused(str(copy), task, "has no observation_space")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("package", ["minari", "h5py"])
def test_without_the_extra_it_is_named(task, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    refused("read/sound-v0", task, "pip install 'hindsight-em[minari]'")


def test_tasks_with_stacked_images_or_image_goals_are_refused(task):
    for changes in ({"frames": 3}, {"image_goals": True}):
        refused("read/sound-v0", task._replace(**changes), "use --obs state")
