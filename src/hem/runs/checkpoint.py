"""Checkpoints: one folder each, holding every array and counter, verified when read.

``checkpoints/<iteration>/`` has ``state.safetensors`` and ``checkpoint.json`` (schema version,
checksum, counters). A folder is written elsewhere and renamed, so it is complete or absent. The
latest three and the best are kept. No pickle: an untrusted file cannot run code.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open

from hem.errors import UserError
from hem.system.atomic_io import refuse_link, remove, side_folder, sync, write_arrays, write_json
from hem.system.parsing import open_file, read_json

SCHEMA = 2
KEPT = 3
ASIDE = ".old"  # suffix of a checkpoint's name while it is being replaced


C = TypeVar("C")


class BadCheckpoint(Exception):
    """A checkpoint that cannot be used, and why."""


class Meta(msgspec.Struct, Generic[C], frozen=True, forbid_unknown_fields=True):
    """The contents of ``checkpoint.json``."""

    schema: int
    sha256: str
    counters: C


class Best(msgspec.Struct, frozen=True):
    """The contents of ``best.json``."""

    checkpoint: str


def save(folder: Path, iteration: int, state: Any, counters: Any) -> Path:
    """Write a checkpoint, completely or not at all.

    Args:
        folder: the run's ``checkpoints``.
        iteration: names the checkpoint.
        state: a pytree of arrays.
        counters: a dataclass of numbers, stored beside it.
    """
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _name(iteration)
    with side_folder(target) as side:
        write_arrays(side / "state.safetensors", _flatten(state))
        sync(side / "state.safetensors")
        checksum = _checksum(side / "state.safetensors")
        write_json(side / "checkpoint.json", Meta(SCHEMA, checksum, counters))
        _replace(side, target)
    return target


def keep_latest(folder: Path, best: int | None) -> None:
    """Record which checkpoint is the best, and remove those that are no longer needed.

    Args:
        folder: the run's ``checkpoints``.
        best: iteration of one that is the best so far, kept beyond the latest three.
    """
    if best is not None:
        write_json(folder / "best.json", Best(_name(best)))
    _prune(folder)


def load(checkpoint: Path, template: Any, kind: type[C]) -> tuple[Any, C]:
    """Read a checkpoint folder into the structure of ``template``.

    Args:
        checkpoint: the folder.
        template: a pytree of arrays or ``jax.ShapeDtypeStruct``; a leaf whose stored array has
            fewer rows is padded with zeros (only the filled part of a replay buffer is stored).
        kind: the dataclass of its counters.

    Raises:
        BadCheckpoint: truncated, altered, or from a newer schema or another configuration.
    """
    meta = read_meta(checkpoint, kind)
    file = checkpoint / "state.safetensors"
    try:
        if _checksum(file) != meta.sha256:
            raise BadCheckpoint("its checksum does not match: the file is truncated or was altered")
        with safe_open(file, framework="numpy") as stored:
            return _unflatten(stored, template), meta.counters
    except (OSError, UserError, SafetensorError, KeyError, ValueError) as error:
        raise BadCheckpoint(f"it cannot be read ({error})") from error


def load_latest(folder: Path, template: Any, kind: type[C]) -> tuple[Any, C, list[str]]:
    """The newest usable checkpoint, and a line about each newer one that is not usable.

    Raises:
        UserError: none is usable.
    """
    complaints = []
    for checkpoint in reversed(listed(folder)):
        try:
            state, counters = load(checkpoint, template, kind)
        except BadCheckpoint as error:
            complaints.append(f"checkpoint {checkpoint} is not usable: {error}")
        else:
            return state, counters, complaints
    raise UserError("; ".join(complaints) or f"there is no checkpoint in {folder}: train again")


def listed(folder: Path) -> list[Path]:
    """The checkpoint folders in ``folder``, oldest first; links do not count."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if re.fullmatch("[0-9]+", path.name))
    return sorted(path for path in named if path.is_dir() and not path.is_symlink())


def read_meta(checkpoint: Path, kind: type[C]) -> Meta[C]:
    """The metadata of a checkpoint, with its counters as a ``kind``.

    Raises:
        BadCheckpoint: it is not a checkpoint, is damaged, or has another schema.
    """
    try:
        return read_json(checkpoint / "checkpoint.json", Meta[kind], SCHEMA)
    except UserError as error:
        raise BadCheckpoint(str(error)) from error


def recover(folder: Path) -> None:
    """Finish or undo what a killed process began; no process may be saving now.

    Raises:
        UserError: the folder is a link.
    """
    refuse_link(folder)
    for aside in folder.glob(f".*{ASIDE}"):
        target = folder / aside.name[1 : -len(ASIDE)]
        if target.exists():
            remove(aside)
        else:
            aside.rename(target)
    for leftover in folder.glob(".*.tmp*"):
        remove(leftover)


def _replace(side: Path, target: Path) -> None:
    """Move a checkpoint into place; an existing one stays complete until then."""
    aside = target.with_name(f".{target.name}{ASIDE}")
    if os.path.lexists(target):  # a damaged one that resuming skipped and has now recreated
        remove(aside)
        target.rename(aside)
    side.rename(target)
    sync(target.parent)
    remove(aside)


def _name(iteration: int) -> str:
    return f"{iteration:010d}"


def _prune(folder: Path) -> None:
    keep = {p.name for p in listed(folder)[-KEPT:]}
    with suppress(UserError):  # it is missing or damaged: the next best checkpoint fixes it
        keep.add(read_json(folder / "best.json", Best).checkpoint)
    for checkpoint in listed(folder):
        if checkpoint.name not in keep:
            remove(checkpoint)


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
