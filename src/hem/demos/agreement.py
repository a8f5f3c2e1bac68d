"""Whether a dataset's spaces are those of a task, and its success the task's."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces

from hem.envs.adapters.reported_success import NO, UNSAID, YES
from hem.envs.spaces.forms import KEYS, named
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.errors import UserError, require
from hem.types import Task


def check_spaces(observation: Space, action: Space, task: Task, name: str) -> None:
    """Require that a dataset's spaces are those of ``task``.

    Single and double precision agree, as hem computes in single precision.

    Raises:
        UserError: naming the first difference.
    """
    known = isinstance(observation, spaces.Dict) and set(KEYS) <= set(observation.spaces)
    require(
        known,
        f"the observations of {name} are {named(observation)}, but goals need a Dict with "
        f"{', '.join(KEYS)}",
    )
    assert isinstance(observation, spaces.Dict)
    obs, goal, actions = forms_of(spaces_of(task))
    pairs = [("observation", obs.own.space, observation["observation"])]
    pairs += [(key, goal.space, observation[key]) for key in KEYS[1:]]
    for what, ours, theirs in [*pairs, ("action", actions.space, action)]:
        if (found := difference(ours, theirs, what)) is not None:
            raise UserError(f"{name} is not of {task.name}: {found}")


def difference(ours: Space, theirs: Space, what: str) -> str | None:
    """How a dataset's space differs from that of the environment; None if it does not."""
    parts = _parts(ours), _parts(theirs)
    if type(ours) is not type(theirs) or parts[0].keys() != parts[1].keys():
        return _said(what, "", named(theirs), named(ours))
    for key, inner in parts[0].items():
        if (found := difference(inner, parts[1][key], f"{what}[{key!r}]")) is not None:
            return found
    for attribute in ("shape", "dtype", "low", "high", "n", "nvec", "start"):
        mine, other = (getattr(space, attribute, None) for space in (ours, theirs))
        if not _alike(mine, other):
            return _said(what, f"{attribute} ", other, mine)
    return None


def contradictions(reached: np.ndarray, reward: np.ndarray, said: np.ndarray) -> int:
    """Steps whose success according to a dataset is not that of the task.

    Args:
        reached: bool[n], according to the task.
        reward: f64[n]; if there are two values, the higher one is that of success.
        said: i8[n], according to the dataset's infos, which count first.
    """
    values = np.unique(reward)
    if len(values) == 2:
        paid = np.where(reward == values[1], YES, NO)
        said = np.where(said == UNSAID, paid, said)
    return int(((said != UNSAID) & ((said == YES) != reached)).sum())


def _parts(space: Space) -> dict[Any, Space]:
    if isinstance(space, spaces.Dict):
        return {**space.spaces}
    if isinstance(space, (spaces.Tuple, spaces.OneOf)):
        return dict(enumerate(space.spaces))
    return {}


def _alike(mine: Any, other: Any) -> bool:
    if isinstance(mine, np.dtype):
        return mine.kind == other.kind or {mine.kind, other.kind} == {"i", "u"}
    if mine is None or other is None or isinstance(mine, tuple):
        return mine == other
    return np.shape(mine) == np.shape(other) and bool(np.allclose(mine, other, rtol=1e-5))


def _said(what: str, attribute: str, theirs: object, ours: object) -> str:
    return f"its {what} has {attribute}{_shown(theirs)}, and that of the environment {_shown(ours)}"


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
        return f"{value.flat[0]:g}"
    return named(value)
