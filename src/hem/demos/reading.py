"""From a Minari dataset to episodes of a task.

An episode is split where it is longer than the task's horizon, and where its desired goal moves: a
part has the goal that was desired when its actions were taken. Success is never taken from the
dataset: hem computes it, as for its own episodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hem.demos import library
from hem.demos.agreement import check_spaces, contradictions
from hem.envs.adapters.reported_success import UNSAID, YES, of_infos
from hem.envs.spaces.batches import MismatchError, sizes
from hem.envs.spaces.codec import encode_rows, value_of
from hem.envs.spaces.forms import ActionForm, Form, Forms
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.errors import UserError, require
from hem.replay.buffer import empty_episodes
from hem.types import Episodes, Task

if TYPE_CHECKING:
    from minari import EpisodeData


class Recorded(NamedTuple):
    """The episodes of a dataset."""

    episodes: Episodes  # in NumPy, zeros past their ends
    path: Path
    sha256: str  # of these arrays
    notes: list[str]  # what the user should know


class Track(NamedTuple):
    """A dataset's episode of T steps, in hem's form."""

    obs: np.ndarray  # [T+1, *O]
    achieved: np.ndarray  # [T+1, *G]
    goal: np.ndarray  # [T+1, *G]  the desired one, before and after each step
    action: np.ndarray  # [T, *A]
    outside: int  # actions that were clipped
    reward: np.ndarray  # f64[T]
    said: np.ndarray  # i8[T]   success according to its infos
    terminated: bool  # by the environment, at its end


class Part(NamedTuple):
    """Steps of a track that were taken for one goal, within the horizon."""

    track: Track
    first: int
    last: int  # exclusive
    reached: np.ndarray  # bool[last - first]  success, as the task computes it


def require_readable(task: Task) -> None:
    """Require that a dataset can hold all that the replay buffer holds of ``task``.

    Raises:
        UserError: it cannot, for a task of hem's own with images.
    """
    require(
        task.frames == 1 and not task.image_goals,
        f"{task.name} stacks images or has goals that are images, which Minari datasets cannot "
        "hold as hem needs them: use --obs state",
    )


def read(name: str, task: Task, most: int) -> Recorded:
    """The episodes of a local dataset.

    Args:
        name: of the dataset, or its folder.
        task: what they must be of.
        most: how many there may be.

    Raises:
        UserError: there is no such dataset, it is damaged or empty, or is not of this task.
    """
    require_readable(task)
    library.require_minari()
    folder = library.find(name)
    dataset = library.open_dataset(folder)
    check_spaces(dataset.observation_space, dataset.action_space, task, name)
    forms = forms_of(spaces_of(task))
    with library.damage_named(folder):
        total = int(dataset.total_episodes)
        require(total > 0, f"the Minari dataset {name} is empty")
        _require_room(name, total, most)
        tracks = [_track(forms, data, f"{name}, episode {data.id}") for data in dataset]
    parts = [part for track in tracks for part in _parts(track, task)]
    _require_room(name, len(parts), most)
    episodes = _padded(parts, task)
    return Recorded(episodes, folder, _digest(episodes), list(_notes(name, task, tracks, parts)))


def _track(forms: Forms, data: EpisodeData, name: str) -> Track:
    """An episode in hem's form.

    Raises:
        UserError: a value is not in its space, is not finite, or is missing.
    """
    steps = len(data.rewards)
    require(steps > 0, f"{name} has no steps")
    ends = (data.terminations, data.truncations)
    require(all(np.shape(x) == (steps,) for x in ends), f"{name}: not each step says how it ended")
    goal_forms = [forms.goal._replace(what=what) for what in ("achieved_goal", "desired_goal")]
    try:
        obs, achieved, goal = (
            _frames(form, data.observations, steps + 1) for form in (forms.obs, *goal_forms)
        )
    except MismatchError as error:
        raise UserError(f"{name}: {error}") from error
    action, outside = _actions(forms.action, data.actions, steps, name)
    reward = np.asarray(data.rewards, np.float64)
    said = _said(data.infos, steps)
    ended = bool(data.terminations[-1])
    return Track(obs, achieved, goal, action, outside, reward, said, ended)


def _frames(form: Form, observations: dict[str, Any], n: int) -> np.ndarray:
    values = value_of(form, observations)
    if sizes(form.space, values, form.what) != {n}:
        raise MismatchError(f"{form.what} must have {n} values for {n - 1} steps")
    return encode_rows(form, values, n, np.arange(n))


def _actions(form: ActionForm, values: Any, steps: int, name: str) -> tuple[np.ndarray, int]:
    """Actions [T, *A] in hem's form, within their bounds, and how many were not."""
    given = np.asarray(values)
    shape = (steps, *(form.space.shape or ()))
    require(given.shape == shape, f"{name}: actions have shape {given.shape} for {steps} steps")
    require(bool(np.isfinite(given).all()), f"{name}: an action contains NaN or infinity")
    if form.n:
        chosen = given - form.space.start  # pyright: ignore[reportAttributeAccessIssue]
        known = np.isin(chosen, np.arange(form.n)).all()
        require(bool(known), f"{name}: an action is not in {form.space}")
        return chosen.astype(np.int32), 0
    flat = given.reshape(steps, -1).astype(np.float32)
    low, high = (np.array(bound, np.float32) for bound in (form.low, form.high))
    within = np.clip(flat, low, high)
    outside = (np.abs(flat - within) > 1e-6 * (high - low)).any(axis=1)
    return within, int(outside.sum())


def _said(infos: Any, steps: int) -> np.ndarray:
    """Success according to infos, i8[T]; those that begin with that of ``reset`` have one more."""
    for n in (steps, steps + 1):
        said = of_infos(infos, n)[n - steps :]
        if (said != UNSAID).any():
            return said
    return np.full(steps, UNSAID, np.int8)


def _parts(track: Track, task: Task) -> list[Part]:
    """The track, split where its goal moves and at the horizon."""
    steps = len(track.action)
    same = np.isclose(track.goal[1:steps], track.goal[: steps - 1], rtol=1e-4, atol=1e-6)
    moved = 1 + np.flatnonzero(~same.all(axis=tuple(range(1, same.ndim))))
    begins = [0, *moved.tolist()]
    found = []
    for begin, end in zip(begins, [*begins[1:], steps], strict=True):
        for first in range(begin, end, task.horizon):
            last = min(first + task.horizon, end)
            achieved = track.achieved[first + 1 : last + 1]
            reached = np.asarray(task.success(achieved, track.goal[first]))
            found.append(Part(track, first, last, reached))
    return found


def _padded(parts: list[Part], task: Task) -> Episodes:
    """The episodes of all parts."""
    shapes = empty_episodes(task, len(parts))
    episodes = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    for row, (track, first, last, reached) in enumerate(parts):
        n = last - first
        episodes.obs[row, : n + 1] = track.obs[first : last + 1]
        episodes.achieved[row, : n + 1] = track.achieved[first : last + 1]
        episodes.goal[row] = track.goal[first]
        episodes.action[row, :n] = track.action[first:last]
        episodes.length[row] = n
        is_end = last == len(track.action) and n < task.horizon  # there, it may be a time limit
        success = reached[-1] or track.said[-1] == YES
        episodes.failed[row] = is_end and track.terminated and not success
    return episodes


def _digest(episodes: Episodes) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(episodes):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(leaf.tobytes())
    return digest.hexdigest()


def _notes(name: str, task: Task, tracks: list[Track], parts: list[Part]) -> Iterable[str]:
    """What is not as hem would have recorded it."""
    if len(parts) > len(tracks):
        yield (
            f"{name}: episodes longer than {task.horizon} steps, and those whose goal moves, were "
            f"split: {len(tracks)} became {len(parts)}"
        )
    steps = sum(len(track.action) for track in tracks)
    if outside := sum(track.outside for track in tracks):
        yield f"{name}: {outside} of {steps} actions were out of bounds and have been clipped"
    reached = np.concatenate([part.reached for part in parts])
    reward, said = (np.concatenate([getattr(t, x) for t in tracks]) for x in ("reward", "said"))
    if wrong := contradictions(reached, reward, said):
        yield f"{name}: {wrong} of {steps} steps report another success than hem; hem's counts"


def _require_room(name: str, episodes: int, most: int) -> None:
    require(
        episodes <= most,
        f"{name} has {episodes} episodes, but the replay buffer has room for {most}: increase "
        f"--buffer-episodes by {episodes - most}",
    )
