"""Batches of values of a space: dicts and tuples of batches, as vector environments have them.

No JAX here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class MismatchError(ValueError):
    """A value that does not belong to its space."""


def sizes(space: gymnasium.Space, value: Any, what: str) -> set[int | None]:
    """How many values each part of ``value`` holds; None where it is one, and no batch.

    Raises:
        MismatchError: it has neither the form of a value nor that of a batch.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise MismatchError(f"{what} is no dict of {', '.join(space.spaces)}")
        parts = space.spaces
        return set().union(*(sizes(parts[key], value[key], f"{what}[{key!r}]") for key in parts))
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
            raise MismatchError(f"{what} is no tuple of {len(space.spaces)} parts")
        parts = zip(space.spaces, value, strict=True)
        return set().union(*(sizes(*part, f"{what}[{i}]") for i, part in enumerate(parts)))
    if isinstance(space, spaces.OneOf):
        return {None if space.contains(value) else len(value)}
    try:
        shape, found = space.shape or (), np.shape(value)
    except ValueError as error:
        raise MismatchError(f"{what} is no array: its rows have different lengths") from error
    if len(found) - len(shape) not in (0, 1):
        raise MismatchError(f"{what} has shape {found}, but its space says {shape}")
    return {found[0] if len(found) > len(shape) else None}


def row_of(space: gymnasium.Space, batch: Any, row: int) -> Any:
    """One of a batch of values."""
    if isinstance(space, spaces.Dict):
        return {key: row_of(part, batch[key], row) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row_of(part, one, row) for part, one in zip(space.spaces, batch, strict=True))
    return batch[row] if isinstance(space, spaces.OneOf) else np.asarray(batch)[row]


def with_arrays(space: gymnasium.Space, value: Any) -> Any:
    """The same with arrays where boxes are: Gymnasium casts a scalar itself, but warns of it."""
    if isinstance(space, spaces.Dict) and isinstance(value, dict):
        known = space.spaces
        return {k: with_arrays(known[k], v) if k in known else v for k, v in value.items()}
    if isinstance(space, spaces.Tuple) and isinstance(value, (tuple, list)):
        parts = zip(space.spaces, value, strict=False)
        return tuple(with_arrays(*part) for part in parts) + tuple(value[len(space.spaces) :])
    if isinstance(space, spaces.Box) and not isinstance(value, np.ndarray):
        with contextlib.suppress(ValueError, TypeError):  # what it is not is said of the space
            return np.asarray(value, space.dtype)
    return value
