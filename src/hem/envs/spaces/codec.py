"""Encode an environment's values as hem's arrays, in their forms, and decode them. No JAX here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import utils

from hem.envs.spaces.batches import MismatchError, row_of, with_arrays
from hem.envs.spaces.forms import KEYS, ActionForm, Form, named


def value_of(form: Form, observation: Mapping[str, Any]) -> Any:
    """What ``encode`` takes for ``form``, from an observation with the keys ``KEYS``."""
    if form.parts:
        return {part.what: observation[part.what] for part in form.parts}
    return observation[form.what]


def encode(form: Form, value: Any) -> np.ndarray:
    """Encode an environment's value for hem.

    Raises:
        MismatchError: its shape or dtype does not match its space, or it is not finite.
    """
    if form.parts:
        each = [encode(part, value[part.what]) for part in form.parts]
        return np.concatenate(each, dtype=form.dtype)
    if isinstance(form.space, spaces.Box):
        return _encode_box(form, np.asarray(value), form.space.shape)
    value = with_arrays(form.space, value)
    if not form.space.contains(value):
        raise MismatchError(f"{form.what} {named(value)} is not in its space {named(form.space)}")
    flat = np.asarray(utils.flatten(form.space, value))
    return _finite(form, flat.astype(form.dtype))


def encode_rows(form: Form, batch: Any, n: int, rows: np.ndarray) -> np.ndarray:
    """Encode some rows of a vector environment's batch of n values.

    Raises:
        MismatchError: as for ``encode``.
    """
    if form.parts:
        each = [encode_rows(part, batch[part.what], n, rows) for part in form.parts]
        return np.concatenate(each, axis=-1, dtype=form.dtype)
    if not isinstance(form.space, spaces.Box):
        return np.stack([encode(form, row_of(form.space, batch, row)) for row in rows.tolist()])
    batch = np.asarray(batch)
    if batch.shape[:1] != (n,):
        raise MismatchError(f"{form.what} has shape {batch.shape}, but there are {n} rows")
    return _encode_box(form, batch[rows], (len(rows), *form.space.shape))


def decode(form: Form, array: np.ndarray) -> Any:
    """The inverse of ``encode``."""
    if isinstance(form.space, spaces.Box):
        back = np.moveaxis(array, -1, 0) if form.channels_first else array
        return np.asarray(back).reshape(form.space.shape).astype(form.space.dtype)
    flat = utils.flatten_space(form.space)
    return utils.unflatten(form.space, np.asarray(array).astype(flat.dtype))


def to_environment(form: ActionForm, action: np.ndarray) -> Any:
    """Convert an action [*A], or a batch [N, *A], for the environment."""
    space = form.space
    if isinstance(space, spaces.Discrete):
        return (np.asarray(action, np.int64) + int(space.start)).astype(space.dtype)
    assert isinstance(space, spaces.Box)
    action = np.asarray(action, space.dtype)
    # In its own dtype, a bound may be tighter than ours.
    action = action.reshape((*action.shape[:-1], *space.shape))
    return np.asarray(np.clip(action, space.low, space.high))


def random_action(form: ActionForm, rng: np.random.Generator) -> np.ndarray:
    """A uniformly random action, in hem's form."""
    if form.n:
        return np.asarray(rng.integers(form.n, dtype=np.int32))
    return rng.uniform(form.low, form.high).astype(np.float32)


def is_goal_observation(obs: Any) -> bool:
    """Whether it is a dict with the three keys."""
    return isinstance(obs, dict) and all(key in obs for key in KEYS)


def alike(one: Any, other: Any) -> bool:
    """Whether two arrays are equal up to rounding errors."""
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or a.dtype.kind != "f":
        return np.array_equal(a, b)
    return bool(np.abs(a - b).max(initial=0) <= 1e-6 + 1e-4 * np.abs(a).max(initial=0))


def _encode_box(form: Form, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if x.shape != shape:
        raise MismatchError(f"{form.what} has shape {x.shape}, but its space has {shape}")
    image = form.dtype == np.uint8
    if x.dtype.kind not in "biuf" or (image and x.dtype != np.uint8):
        raise MismatchError(f"{form.what} has type {x.dtype}, but its space has {form.space.dtype}")
    if image:
        return np.array(np.moveaxis(x, -3, -1) if form.channels_first else x)
    if np.dtype(form.space.dtype).kind in "biu":
        _check_whole(form, x)
    lead = shape[: len(shape) - len(form.space.shape or ())]
    with np.errstate(over="ignore"):
        return _finite(form, np.array(x.reshape(*lead, *form.shape), form.dtype))


def _check_whole(form: Form, x: np.ndarray) -> None:
    """Reject values that an integer space would truncate or wrap."""
    low, high = form.space.low, form.space.high  # pyright: ignore[reportAttributeAccessIssue]
    odd = (x < low) | (x > high) | (x != np.rint(x.astype(np.float64)))
    if odd.any():
        raise MismatchError(
            f"{form.what} contains {x[odd][0]:g}, but its space has integers from {low.min():g} to "
            f"{high.max():g}"
        )


def _finite(form: Form, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise MismatchError(f"{form.what} contains NaN or infinity")
    return x
