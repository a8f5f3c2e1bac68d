"""A run's folder on disk: created by one process and written by one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout, lock_descriptor

from hem.errors import NotStartedError, UserError
from hem.runs.advice import advised_for
from hem.runs.manifest import CONFIG
from hem.system.atomic_io import clear_beside, remove
from hem.system.parsing import AbsentError, open_file

LOCK = ".lock"
WRITTEN = (CONFIG, "metrics.jsonl", "policy.safetensors", "policy.json", "curve.png")
GLANCE_S = 0.05  # for which `is_held`, called by somebody else, may hold the lock
OWN = (LOCK, f".{CONFIG}.")  # prefixes of what a killed process may leave in an unused folder

T = TypeVar("T")


@contextmanager
def on_disk(folder: Path, continuation: str | None = None) -> Iterator[None]:
    """Turn disk errors into an error that the user can act on.

    Args:
        folder: the run folder.
        continuation: what continues its run; None: nothing has been saved in it yet.
    """
    try:
        yield
    except OSError as error:
        advice = (
            "Free disk space or fix permissions, or use another --run-dir"
            if continuation is None
            else f"What was saved is safe; free disk space or fix permissions, then {continuation}"
        )
        raise UserError(f"cannot write to {folder}: {error.strerror or error}. {advice}") from error


@contextmanager
def held(folder: Path, continuation: str | None = None) -> Iterator[None]:
    """Lock a folder until the block ends, so no other process writes to it.

    Args:
        folder: the run folder.
        continuation: as for ``on_disk``.

    Raises:
        UserError: another process has locked it, or it is not writable.
    """
    lock = FileLock(folder / LOCK)
    with on_disk(folder, continuation):
        try:
            lock.acquire(timeout=GLANCE_S, poll_interval=GLANCE_S / 5)
        except Timeout:
            raise UserError(f"another process is training {folder}: wait for it") from None
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process is training the run in a folder, which is only read.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        with open_file(folder / LOCK) as stream:
            return not lock_descriptor(stream.fileno(), blocking=False)  # closing it releases it
    except AbsentError:
        return False


@contextmanager
def created(folder: Path, begin: Callable[[Path], T], numbered: bool = False) -> Iterator[T]:
    """Create the folder of a new run and lock it until the block ends.

    If several processes request the same folder, one gets it. A refused request changes nothing.

    Args:
        folder: its path; it may already exist if it is empty.
        begin: writes the folder's first files, and returns what the block gets.
        numbered: if ``folder`` is taken, create one with a number appended to its name instead.

    Raises:
        UserError: the folder is not empty, or is not writable.
        NotStartedError: as the block; then, or if ``begin`` fails, nothing is left of the folder.
    """
    with on_disk(folder):
        if not numbered:
            _refuse_used(folder)
        folder, made = _make(folder, numbered)
    with held(folder):
        with on_disk(folder):
            _refuse_used(folder)  # used by another process since the first check
        try:
            with on_disk(folder):
                begun = begin(folder)
        except BaseException:
            _unmake(folder, made)
            raise
        try:
            yield begun
        except NotStartedError:
            _unmake(folder, made)
            raise


def clear(folder: Path) -> None:
    """Remove what killed processes left in a folder that this one has locked."""
    for name in WRITTEN:
        clear_beside(folder / name)


def _refuse_used(folder: Path) -> None:
    if not folder.exists():
        return
    if (folder / CONFIG).exists():
        raise UserError(
            f"{folder} already holds a run: continue it with `{advised_for('resume', folder)}`, or "
            "use another --run-dir"
        )
    if not folder.is_dir() or not all(path.name.startswith(OWN) for path in folder.iterdir()):
        raise UserError(f"{folder} exists and is not a run folder: use another --run-dir")


def _make(folder: Path, numbered: bool) -> tuple[Path, list[Path]]:
    """The folder, and all folders created for it, innermost first."""
    missing = [path for path in folder.parents if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if numbered:
        folder = _next_free(folder)
        return folder, [folder, *missing]
    missing = missing if folder.exists() else [folder, *missing]
    folder.mkdir(exist_ok=True)
    return folder, missing


def _next_free(folder: Path) -> Path:
    """Create ``folder`` or, if it is taken, the first free one with a number."""
    mine, number = folder, 1
    while True:
        try:
            mine.mkdir()
        except FileExistsError:
            number += 1
            mine = folder.with_name(f"{folder.name}-{number}")
        else:
            return mine


def _unmake(folder: Path, made: list[Path]) -> None:
    """Remove what was created for a run that could not start."""
    with suppress(OSError):  # a folder with other files in it stays
        remove(folder / CONFIG)
        for path in folder.iterdir():
            if path.name.startswith(OWN):
                remove(path)
        for path in made:
            path.rmdir()
