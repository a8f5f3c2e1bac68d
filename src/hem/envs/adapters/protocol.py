"""Checks of the tuples that ``reset`` and ``step`` return. No JAX here."""

from __future__ import annotations

from typing import Any

import numpy as np

from hem.envs.adapters.reported_success import number
from hem.envs.spaces.batches import MismatchError
from hem.envs.spaces.forms import named


def of_reset(returned: Any) -> tuple[Any, dict]:
    """The observation and info that ``reset`` returned.

    Raises:
        MismatchError: it returned something else.
    """
    obs, info = _parts(returned, "reset", ("observation", "info"))
    return obs, _info(info)


def of_step(returned: Any) -> tuple[Any, Any, bool, bool, dict]:
    """The observation, reward, terminated, truncated and info that ``step`` returned.

    Raises:
        MismatchError: it returned something else.
    """
    names = ("observation", "reward", "terminated", "truncated", "info")
    obs, reward, terminated, truncated, info = _parts(returned, "step", names)
    return (
        obs,
        reward,
        _flag(terminated, "terminated"),
        _flag(truncated, "truncated"),
        _info(info),
    )


def of_steps(returned: Any, n: int) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict]:
    """The same for a vector environment with n rows.

    Raises:
        MismatchError: it returned something else.
    """
    names = ("observations", "rewards", "terminations", "truncations", "infos")
    obs, *parts, info = _parts(returned, "step", names)
    for part, name in zip(parts, names[1:4], strict=True):
        if np.shape(part) != (n,):
            raise MismatchError(f"{name} has shape {np.shape(part)}, but there are {n} rows")
    reward, terminated, truncated = map(np.asarray, parts)
    return obs, reward, terminated.astype(bool), truncated.astype(bool), _info(info)


def _parts(returned: Any, what: str, names: tuple[str, ...]) -> tuple:
    """The parts of a tuple."""
    if isinstance(returned, tuple) and len(returned) == len(names):
        return returned
    count = f" of {len(returned)}" if isinstance(returned, tuple) else ""
    raise MismatchError(
        f"{what} returned a {type(returned).__name__}{count}, but should return a tuple of "
        f"{', '.join(names)}"
    )


def _flag(value: Any, name: str) -> bool:
    if np.ndim(value) == 0 and number(value) in (0, 1):
        return bool(value)
    raise MismatchError(f"{name} is {named(value)}, but should be True or False")


def _info(info: Any) -> dict:
    if isinstance(info, dict):
        return info
    raise MismatchError(f"info is {named(info)}, but should be a dict")
