"""A pytree of arrays as a safetensors file: what a worker stores in a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from hem.errors import UserError
from hem.system.atomic_io import sync, write_arrays
from hem.system.parsing import open_file


class BadCheckpoint(Exception):
    """A checkpoint that cannot be used, and why."""


def write(file: Path, state: Any) -> str:
    """Write a pytree of arrays, onto the disk; returns the file's SHA-256."""
    write_arrays(file, _flatten(state))
    sync(file)
    return _checksum(file)


def read(file: Path, template: Any, sha256: str) -> Any:
    """Read a file into the structure of ``template``.

    Args:
        file: the file.
        template: a pytree of arrays or ``jax.ShapeDtypeStruct``; a leaf whose stored array has
            fewer rows is padded with zeros (only the filled part of a replay buffer is stored).
        sha256: of the file.

    Raises:
        BadCheckpoint: it cannot be read, has another checksum, or is from another configuration.
    """
    try:
        if _checksum(file) != sha256:
            raise BadCheckpoint("its checksum does not match: the file is truncated or was altered")
        with safe_open(file, framework="numpy") as stored:
            return _unflatten(stored, template)
    except (OSError, UserError, SafetensorError, KeyError, ValueError) as error:
        raise BadCheckpoint(f"it cannot be read ({error})") from error


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _unflatten(stored: Any, template: Any) -> Any:
    """The arrays of an open safetensors file, each on the device before the next one is read."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    if set(names) != (found := set(stored.keys())):
        odd = sorted(set(names) ^ found)
        raise BadCheckpoint(f"it is from another configuration (array {odd[0]})")
    arrays = []
    for name, (_, want) in zip(names, leaves, strict=True):
        array = jax.device_put(_fitted(name, stored.get_tensor(name), want))
        arrays.append(jax.block_until_ready(array))
    return jax.tree.unflatten(structure, arrays)


def _fitted(name: str, array: np.ndarray, want: Any) -> np.ndarray:
    if array.dtype != want.dtype or array.ndim != len(want.shape):
        raise BadCheckpoint(f"it is from another configuration (array {name})")
    if array.shape == want.shape:
        return array
    if array.shape[1:] != want.shape[1:] or array.shape[0] > want.shape[0]:
        raise BadCheckpoint(f"it is from another configuration (array {name})")
    full = np.zeros(want.shape, want.dtype)
    full[: len(array)] = array
    return full


def _checksum(file: Path) -> str:
    with open_file(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
