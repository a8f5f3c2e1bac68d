"""Sums and means over the workers of a run, for use inside the programs that they run together.

In a program of a single worker, each function returns its argument. Algorithms therefore need not
know how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

AXIS = "workers"  # the axis that programs are mapped over

_apart: ContextVar[bool] = ContextVar("apart", default=False)


def index() -> jax.Array | int:
    """The number of this worker, i32[]; 0 with a single worker."""
    return jax.lax.axis_index(AXIS) if _is_mapped() else 0


def count() -> int:
    """The number of workers."""
    return jax.lax.axis_size(AXIS) if _is_mapped() else 1


def own_key(key: jax.Array) -> jax.Array:
    """A separate key for each worker; with a single worker, the key itself."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if _is_mapped() else key


def total(tree: Any) -> Any:
    """The sum over workers of each array."""
    return jax.lax.psum(tree, AXIS) if _is_mapped() else tree


def gathered(tree: Any) -> Any:
    """Each array of all workers, one after the other along its first axis."""
    return jax.lax.all_gather(tree, AXIS, tiled=True) if _is_mapped() else tree


def mean(tree: Any) -> Any:
    """The mean over workers of each array, f32, communicated as one flat vector."""
    if not _is_mapped():
        return tree
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))


def mean_of_floats(tree: Any) -> Any:
    """The mean over workers of each floating-point array; other arrays are unchanged."""
    leaves, structure = jax.tree.flatten(tree)
    is_float = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]
    means = iter(mean([x for x, flag in zip(leaves, is_float, strict=True) if flag]))
    mixed = [next(means) if flag else x for x, flag in zip(leaves, is_float, strict=True)]
    return jax.tree.unflatten(structure, mixed)


def any_of(flags: Any) -> Any:
    """Whether each flag, bool[], is set on any worker."""
    return jax.tree.map(lambda flag: total(flag.astype(jnp.int32)) > 0, flags)


def mean_in_update(tree: Any) -> Any:
    """The mean over workers of what an update together needs; unchanged within ``apart``."""
    return tree if _apart.get() else mean(tree)


@contextmanager
def apart() -> Iterator[None]:
    """In updates traced in this block, each worker learns by itself."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def _is_mapped() -> bool:
    try:
        jax.lax.axis_index(AXIS)
    except NameError:  # JAX: no program is mapped over this axis
        return False
    return True
