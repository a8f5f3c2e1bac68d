"""Datasets that hem has written, read by Minari itself; all of a dataset is there, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import gymnasium
import minari
import numpy as np
import pytest
from disk import contents, refusing_from
from gymnasium import spaces

from hem.demos import reading, writing
from hem.envs.spaces.codec import encode
from hem.envs.spaces.task_spaces import forms_of
from hem.errors import UserError
from hem.types import Box, Spaces, Task

pytestmark = pytest.mark.usefixtures("datasets")
LENGTHS = [5, 2, 4]


@pytest.fixture(scope="module")
def episodes(task, random_episodes):
    return random_episodes(np.random.default_rng(1), task, LENGTHS)


def test_minari_reads_what_was_written(task, episodes):
    folder = writing.write("write/a-v0", episodes, task, None, {"hem": {"version": "x"}})
    dataset = minari.load_dataset("write/a-v0")
    assert dataset.storage.data_path == folder / "data"
    assert (dataset.total_episodes, dataset.total_steps) == (3, sum(LENGTHS))
    assert dataset.storage.metadata["hem"] == {"version": "x"}
    assert dataset.action_space == spaces.Discrete(3)
    assert set(minari.list_local_datasets(prefix="write")) == {"write/a-v0"}
    assert "write" in minari.namespace.list_local_namespaces()
    for row, (data, steps) in enumerate(zip(dataset, LENGTHS, strict=True)):
        frames = slice(steps + 1)
        seen = data.observations
        np.testing.assert_array_equal(seen["observation"], episodes.obs[row, frames])
        np.testing.assert_array_equal(seen["achieved_goal"], episodes.achieved[row, frames])
        np.testing.assert_array_equal(seen["desired_goal"], [episodes.goal[row]] * (steps + 1))
        np.testing.assert_array_equal(data.actions, episodes.action[row, :steps])
        success = (episodes.achieved[row, frames] == episodes.goal[row]).all(axis=1)
        np.testing.assert_array_equal(data.infos["success"], success)
        np.testing.assert_array_equal(data.rewards, success[1:])
        assert not (data.terminations | data.truncations)[:-1].any()
        assert data.terminations[-1] == success[-1]
        assert data.truncations[-1] == (not success[-1] or steps == task.horizon)
        assert all(dataset.observation_space.contains(frame) for frame in rows(seen, steps + 1))


def rows(tree: dict, n: int) -> list[dict]:
    return [{key: values[i] for key, values in tree.items()} for i in range(n)]


def of_images(task: Task, shape: tuple[int, ...] = (40, 48, 3)) -> Task:
    image = spaces.Box(0, 255, shape, np.uint8)
    return task._replace(
        obs_shape=(40, 48, 3), obs_dtype=np.dtype(np.uint8),
        spaces=Spaces(image, spaces.Box(0, 1, (2,), np.int8), spaces.Discrete(3)),
    )  # fmt: skip


def channels_first(task: Task) -> Task:
    return of_images(task, (3, 40, 48))


def of_parts(task: Task) -> Task:
    parts = spaces.Dict(at=spaces.Box(-9, 9, (2, 1), np.float32), door=spaces.Discrete(2, start=3))
    whole = spaces.Tuple([parts, spaces.MultiBinary(3)])
    outer = Spaces(whole, spaces.MultiBinary(2), spaces.Discrete(3, start=-1))
    return task._replace(obs_shape=(7,), spaces=outer)


def of_numbers(task: Task) -> Task:
    outer = Spaces(
        spaces.Box(-np.inf, np.inf, (3, 1), np.float64), spaces.Box(0, 1, (2,), np.int8),
        spaces.Box(-2, 2, (2, 1), np.float64),
    )  # fmt: skip
    return task._replace(action=Box((-2.0, -2.0), (2.0, 2.0)), spaces=outer)


def with_achieved(task: Task) -> Task:
    """As of environments from outside, of whose observations the achieved goal is a part."""
    goal, obs = spaces.MultiBinary(2), spaces.Box(-np.inf, np.inf, (3,), np.float32)
    seen = spaces.Dict(achieved_goal=goal, observation=obs)
    return task._replace(obs_shape=(5,), spaces=Spaces(seen, goal, spaces.Discrete(3)))


@pytest.mark.parametrize(
    "kind", [lambda task: task, of_images, channels_first, of_parts, of_numbers, with_achieved]
)
def test_what_was_written_is_read_back(task, random_episodes, kind: Callable[[Task], Task]):
    task, rng = kind(task), np.random.default_rng(2)
    episodes = random_episodes(rng, task, LENGTHS)
    if task.obs_dtype == np.uint8:
        episodes = episodes._replace(obs=rng.integers(0, 256, episodes.obs.shape, np.uint8))
    elif isinstance(task.spaces and task.spaces.observation, spaces.Tuple):
        form = forms_of(task.spaces).obs
        form.space.seed(0)
        drawn = [[encode(form, form.space.sample()) for _ in range(6)] for _ in LENGTHS]
        episodes = episodes._replace(obs=np.array(drawn, np.float32))
    elif kind is with_achieved:
        episodes.obs[..., :2] = episodes.achieved
    episodes = episodes._replace(failed=np.array([False, True, False]))
    name = f"back/{kind.__name__.strip('<>')}-v0"
    writing.write(name, episodes, task, None, {})
    found = reading.read(name, task, 3)
    assert found.notes == []
    success = (episodes.achieved[1, 2] == episodes.goal[1]).all()
    np.testing.assert_array_equal(found.episodes.failed, [False, not success, False])
    for field in ("obs", "achieved", "action", "goal", "length"):
        ours, theirs = getattr(found.episodes, field), getattr(episodes, field)
        assert ours.dtype == theirs.dtype
        for row, steps in enumerate(LENGTHS):
            n = steps if field == "action" else steps + 1
            whole = ours[row].ndim == 0 or field == "goal"
            np.testing.assert_array_equal(
                *((x[row] if whole else x[row, :n]) for x in (ours, theirs))
            )


def test_the_environment_is_the_one_that_was_named(task, episodes):
    spec = gymnasium.spec("hem/FlipBit-v0")
    spec.kwargs = spec.kwargs | {"bits": 3}
    writing.write("write/spec-v0", episodes, task, spec, {})
    env = minari.load_dataset("write/spec-v0").recover_environment()
    assert env.observation_space["observation"].shape == (3,)


@pytest.mark.parametrize(
    "name", ["", "demo", "demo-v", "demo-vx", "a b-v0", "../demo-v0", "/tmp/demo-v0", "dé/é.x-v0"]
)
def test_a_name_that_minari_does_not_take_is_refused(datasets, task, episodes, name):
    before = contents(datasets)
    with pytest.raises(UserError, match="cannot name a Minari dataset"):
        writing.write(name, episodes, task, None, {})
    assert contents(datasets) == before


def test_a_name_is_taken_once_and_no_dataset_is_inside_another(datasets, task, episodes):
    writing.write("taken/a-v0", episodes, task, None, {})
    before = contents(datasets)
    with pytest.raises(UserError, match="already a Minari dataset taken/a-v0: use another version"):
        writing.write("taken/a-v0", episodes, task, None, {})
    with pytest.raises(UserError, match="taken/a-v0 is a Minari dataset"):
        writing.write("taken/a-v0/b-v0", episodes, task, None, {})
    assert contents(datasets) == before


def test_of_two_at_once_one_is_there(datasets, task, episodes, monkeypatch):
    fill = writing._fill

    def slow(*args) -> None:
        fill(*args)
        monkeypatch.setattr(writing, "_fill", fill)
        writing.write("race/a-v0", episodes, task, None, {"hem": "the faster one"})

    monkeypatch.setattr(writing, "_fill", slow)
    with pytest.raises(UserError, match="cannot write"):
        writing.write("race/a-v0", episodes, task, None, {"hem": "the slower one"})
    assert minari.load_dataset("race/a-v0").storage.metadata["hem"] == "the faster one"
    assert not list(datasets.rglob("*.tmp"))


def test_a_full_disk_leaves_a_whole_dataset_or_none(datasets, task, episodes):
    for n in range(12):
        name = f"full{n}/a-v0"
        with contextlib.suppress(UserError), refusing_from(datasets, n):
            writing.write(name, episodes, task, None, {})
        assert (name in minari.list_local_datasets()) == (datasets / name).exists()
        if (datasets / name).exists():
            assert reading.read(name, task, 3).notes == []
            break
    assert n > 4


def test_an_error_of_hdf5_is_one_line(task, episodes, datasets, monkeypatch):
    def full(*_) -> None:
        raise RuntimeError("Unable to flush file\n(errno = 28)")

    monkeypatch.setattr(writing, "_fill", full)
    with pytest.raises(UserError, match=r"cannot write .*Unable to flush file \(errno = 28\)$"):
        writing.write("hdf5/a-v0", episodes, task, None, {})
    assert not (datasets / "hdf5").exists()


def test_a_space_that_minari_does_not_know_is_refused(task, episodes, datasets):
    outer = spaces.OneOf([spaces.Discrete(2), spaces.Discrete(2)])
    odd = task._replace(spaces=Spaces(outer, spaces.Box(0, 1, (2,), np.int8), spaces.Discrete(3)))
    flat = episodes._replace(obs=np.zeros_like(episodes.obs))
    flat.obs[..., 1] = 1  # the choice; before it, which of the two spaces
    with pytest.raises(UserError, match="Minari datasets cannot be of Tiny: No serialization"):
        writing.write("odd/a-v0", flat, odd, None, {})
    assert not (datasets / "odd").exists()
