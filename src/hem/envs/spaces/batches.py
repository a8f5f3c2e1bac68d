"""Batches of values of a space: dicts and tuples of batches, as in vector environments.

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
    """The batch size of each part of ``value``; None for a single value.

    Raises:
        MismatchError: it has neither the form of a value nor that of a batch.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise MismatchError(f"{what} must be a dict with {', '.join(space.spaces)}")
        parts = space.spaces
        return set().union(*(sizes(parts[key], value[key], f"{what}[{key!r}]") for key in parts))
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
            raise MismatchError(f"{what} must be a tuple of {len(space.spaces)} parts")
        parts = zip(space.spaces, value, strict=True)
        return set().union(*(sizes(*part, f"{what}[{i}]") for i, part in enumerate(parts)))
    if isinstance(space, spaces.OneOf):
        return {None if space.contains(value) else len(value)}
    try:
        shape, found = space.shape or (), np.shape(value)
    except ValueError as error:
        raise MismatchError(f"{what} is not an array: its rows have different lengths") from error
    if len(found) - len(shape) not in (0, 1):
        raise MismatchError(f"{what} has shape {found}, but its space has {shape}")
    return {found[0] if len(found) > len(shape) else None}


def row_of(space: gymnasium.Space, batch: Any, row: int) -> Any:
    """One row of a batch of values."""
    if isinstance(space, spaces.Dict):
        return {key: row_of(part, batch[key], row) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row_of(part, one, row) for part, one in zip(space.spaces, batch, strict=True))
    return batch[row] if isinstance(space, spaces.OneOf) else np.asarray(batch)[row]


def with_arrays(space: gymnasium.Space, value: Any) -> Any:
    """The value with arrays for boxes: Gymnasium casts a scalar itself, but warns about it."""
    if isinstance(space, spaces.Dict) and isinstance(value, dict):
        known = space.spaces
        return {k: with_arrays(known[k], v) if k in known else v for k, v in value.items()}
    if isinstance(space, spaces.Tuple) and isinstance(value, (tuple, list)):
        parts = zip(space.spaces, value, strict=False)
        return tuple(with_arrays(*part) for part in parts) + tuple(value[len(space.spaces) :])
    if isinstance(space, spaces.Box) and not isinstance(value, np.ndarray):
        with contextlib.suppress(ValueError, TypeError):  # the space check reports a bad value
            return np.asarray(value, space.dtype)
    return value
