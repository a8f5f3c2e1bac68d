"""Checkpoints: one folder each, holding every array and counter, verified when read.

``checkpoints/<iteration>/`` has ``state.safetensors``, one for each worker of the run, and
``checkpoint.json`` (schema version, checksums, counters). A folder is written elsewhere and
renamed, so it is complete or absent. The latest three and the best are kept. One that is not usable
is put aside until training has passed it. No pickle: an untrusted file cannot run code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from hem.errors import UserError
from hem.runs import state_file
from hem.runs.state_file import BadCheckpoint
from hem.system.atomic_io import TOKEN, refuse_link, remove, side_folder, side_of, sync, write_json
from hem.system.parsing import read_json
from hem.training.workers import ONE, Workers

SCHEMA = 3
KEPT = 3
BEST = "best.json"
ASIDE = ".old"  # suffix of a checkpoint's name while it is being replaced
UNUSABLE = ".unusable"  # suffix of one that resuming skipped


C = TypeVar("C")
T = TypeVar("T")


class Meta(msgspec.Struct, Generic[C], frozen=True, forbid_unknown_fields=True):
    """The contents of ``checkpoint.json``."""

    schema: int
    sha256: Annotated[list[str], msgspec.Meta(min_length=1)]  # of each worker's file
    counters: C


class Best(msgspec.Struct, frozen=True):
    """The contents of ``best.json``."""

    checkpoint: str


def save(
    folder: Path, iteration: int, states: Mapping[int, Any], counters: Any, workers: Workers = ONE
) -> Path:
    """Write a checkpoint, completely or not at all.

    Args:
        folder: the run's ``checkpoints``.
        iteration: names the checkpoint.
        states: a pytree of arrays for each worker of this process.
        counters: a dataclass of numbers, stored beside them.
        workers: the workers of the run; their other processes call this too.
    """
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _name(iteration)
    with _side_folder_of_all(target, workers) as side:
        digests = {}
        for worker, state in states.items():
            digests[worker] = bytes.fromhex(state_file.write(side / _file(worker), state))
        checksums = [digest.hex() for digest in workers.gather(digests)]
        if workers.is_lead:
            write_json(side / "checkpoint.json", Meta(SCHEMA, checksums, counters))
            _replace(side, target)
    return target


@contextmanager
def _side_folder_of_all(target: Path, workers: Workers) -> Iterator[Path]:
    """The leading worker's ``side_folder``, once it is there."""
    if workers.is_lead:
        with side_folder(target) as side:
            workers.broadcast(side.stem[-TOKEN:].encode())
            yield side
    else:
        yield side_of(target, workers.broadcast(bytes(TOKEN)).decode())


def keep_latest(folder: Path, best: int | None) -> None:
    """Record which checkpoint is the best, and remove those that are no longer needed.

    Args:
        folder: the run's ``checkpoints``.
        best: iteration of one that is the best so far, kept beyond the latest three.
    """
    if best is not None:
        write_json(folder / BEST, Best(_name(best)))
    _prune(folder)


def put_aside(folder: Path, iteration: int) -> None:
    """Rename the checkpoints after the one that was loaded, so that they count no longer.

    They are not usable now, but the reason may lie outside of them: ``keep_latest`` removes them
    once there is a checkpoint as far as they were.

    Args:
        folder: the run's ``checkpoints``.
        iteration: names the checkpoint that was loaded.
    """
    for checkpoint in listed(folder):
        if checkpoint.name > _name(iteration):
            aside = _beside(checkpoint, UNUSABLE)
            remove(aside)
            checkpoint.rename(aside)


def load(checkpoint: Path, template: Any, kind: type[C], worker: int = 0) -> tuple[Any, C]:
    """Read a worker's part of a checkpoint folder into the structure of ``template``.

    Args:
        checkpoint: the folder.
        template: a pytree of arrays or ``jax.ShapeDtypeStruct``; a leaf whose stored array has
            fewer rows is padded with zeros (only the filled part of a replay buffer is stored).
        kind: the dataclass of its counters.
        worker: whose part.

    Raises:
        BadCheckpoint: truncated, altered, or from a newer schema or another configuration.
    """
    meta = read_meta(checkpoint, kind)
    return state_file.read(checkpoint / _file(worker), template, meta.sha256[worker]), meta.counters


def load_latest(
    folder: Path, load: Callable[[Path], T], workers: Workers = ONE
) -> tuple[T, list[str]]:
    """What ``load`` makes of the newest checkpoint that it can use.

    Args:
        folder: the run's ``checkpoints``.
        load: reads a checkpoint, or raises ``BadCheckpoint``.
        workers: of the run; those of other processes call this too, and all use the same one.

    Returns:
        what was loaded, and a line about each newer checkpoint that is not usable.

    Raises:
        UserError: none is usable.
    """
    complaints = []
    for checkpoint in reversed(listed(folder)):
        loaded, error = None, None
        try:
            loaded = load(checkpoint)
        except BadCheckpoint as bad:
            error = bad
        if workers.any(error is not None):
            reason = error or "another worker's part cannot be read"
            complaints.append(f"checkpoint {checkpoint} is not usable: {reason}")
        else:
            assert loaded is not None
            return loaded, complaints
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
    aside = _beside(target, ASIDE)
    if os.path.lexists(target):  # a damaged one that resuming skipped and has now recreated
        remove(aside)
        target.rename(aside)
    side.rename(target)
    sync(target.parent)
    remove(aside)


def _beside(checkpoint: Path, suffix: str) -> Path:
    return checkpoint.with_name(f".{checkpoint.name}{suffix}")


def _file(worker: int) -> str:
    return f"state-{worker}.safetensors" if worker else "state.safetensors"


def _name(iteration: int) -> str:
    return f"{iteration:010d}"


def _prune(folder: Path) -> None:
    keep = {p.name for p in listed(folder)[-KEPT:]}
    newest = max(keep, default="")
    with suppress(UserError):  # it is missing or damaged: the next best checkpoint fixes it
        keep.add(read_json(folder / BEST, Best).checkpoint)
    for checkpoint in listed(folder):
        if checkpoint.name not in keep:
            remove(checkpoint)
    for aside in folder.glob(f".*{UNUSABLE}"):
        if aside.name[1 : -len(UNUSABLE)] <= newest:
            remove(aside)
