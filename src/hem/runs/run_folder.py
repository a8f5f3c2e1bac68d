"""A run's folder on the disk: made by one process, and written to by one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hem.errors import UserError
from hem.system.atomic_io import clear_beside, remove

CONFIG = "config.json"
LOCK = ".lock"
WRITTEN = (CONFIG, "metrics.jsonl", "policy.safetensors", "policy.json", "curve.png")
OWN = (LOCK, f".{CONFIG}.")  # how names begin that a killed process may leave in an unused folder


@contextmanager
def on_disk(folder: Path, is_new: bool = False) -> Iterator[None]:
    """Turn what the disk says into a line that the user can act on."""
    try:
        yield
    except OSError as error:
        advice = (
            "Free disk space or fix permissions, or give another --run-dir"
            if is_new
            else "What was saved is safe; free disk space or fix permissions, then "
            f"`hem resume {folder}`"
        )
        raise UserError(f"cannot write to {folder}: {error.strerror or error}. {advice}") from error


@contextmanager
def held(folder: Path, is_new: bool = False) -> Iterator[None]:
    """Hold a folder, so that no other process writes to it, until the block ends.

    Args:
        folder: of a run.
        is_new: nothing has been saved in it yet.

    Raises:
        UserError: another process holds it, or it cannot be written to.
    """
    lock = FileLock(folder / LOCK)
    with on_disk(folder, is_new):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise UserError(f"another process is training {folder}: wait for it") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def created(folder: Path, fill: Callable[[Path], None], numbered: bool = False) -> Iterator[Path]:
    """Make the folder of a new run and hold it until the block ends.

    However many processes ask for the same folder, one gets it. What is refused changes nothing.

    Args:
        folder: where; it may be there already, if it is empty.
        fill: writes what the folder begins with.
        numbered: where ``folder`` is taken, make one with a number behind its name instead.

    Raises:
        UserError: there is something in the folder already, or it cannot be written to.
    """
    with on_disk(folder, is_new=True):
        if not numbered:
            _refuse_used(folder)
        folder, made = _make(folder, numbered)
    with held(folder, is_new=True):
        try:
            with on_disk(folder, is_new=True):
                _refuse_used(folder)  # by another process, since the first look
                fill(folder)
        except BaseException:
            _unmake(folder, made)
            raise
        yield folder


def clear(folder: Path) -> None:
    """Remove what killed processes left in a folder that this one holds."""
    for name in WRITTEN:
        clear_beside(folder / name)


def _refuse_used(folder: Path) -> None:
    if not folder.exists():
        return
    if (folder / CONFIG).exists():
        raise UserError(
            f"{folder} already holds a run: continue it with `hem resume {folder}`, or give "
            "another --run-dir"
        )
    if not folder.is_dir() or not all(path.name.startswith(OWN) for path in folder.iterdir()):
        raise UserError(f"{folder} exists and is not a run folder: give another --run-dir")


def _make(folder: Path, numbered: bool) -> tuple[Path, list[Path]]:
    """The folder, and all that had to be made for it, the innermost first."""
    missing = [path for path in folder.parents if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if numbered:
        folder = _next_free(folder)
        return folder, [folder, *missing]
    missing = missing if folder.exists() else [folder, *missing]
    folder.mkdir(exist_ok=True)
    return folder, missing


def _next_free(folder: Path) -> Path:
    """Make ``folder``, or where it is taken the first one with a number that is not."""
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
    """Take away what was made for a run that did not come to be."""
    if (folder / CONFIG).exists():
        return
    with suppress(OSError):  # a folder that others have put something into stays
        for path in folder.iterdir():
            if path.name.startswith(OWN):
                remove(path)
        for path in made:
            path.rmdir()
