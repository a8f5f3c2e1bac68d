"""The disk under watch: what happens between any two changes of files, and death at any of them."""

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_watchers: list[Callable[[str, tuple], None]] = []


def _hook(event: str, args: tuple) -> None:
    if _watchers and (event == "open" or event in CHANGES):
        _watchers[-1](event, args)


sys.addaudithook(_hook)  # for good: Python takes none away


class Killed(BaseException):
    """The process is gone: nothing that it would still have done to files is done."""


@contextmanager
def watched(folder: Path, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` before each change of a file in ``folder`` by this thread; not by itself."""
    thread, place = threading.get_ident(), str(folder)

    def watch(event: str, args: tuple) -> None:
        changes = event in CHANGES or args[2] & WRITES
        relative = event in CHANGES and args[-1] != -1  # to an open folder, as rmtree removes
        here = relative or str(args[0]).startswith(place)
        mine = threading.get_ident() == thread and _watchers[-1] is watch
        if changes and here and mine and "tensorboard" not in str(args[0]):
            act()

    _watchers.append(watch)
    try:
        yield
    finally:
        _watchers.remove(watch)


@contextmanager
def alone() -> Iterator[None]:
    """Whatever is done to files in the block is not watched."""
    _watchers.append(lambda event, args: None)
    try:
        yield
    finally:
        _watchers.pop()


@contextmanager
def killed_before(folder: Path, n: int) -> Iterator[list[int]]:
    """Die before the ``n``-th change of a file in ``folder``; yields a list with their number."""
    count = [0]

    def act() -> None:
        count[0] += 1
        if count[0] > n:
            raise Killed

    with watched(folder, act):
        yield count


@contextmanager
def refusing_from(folder: Path, n: int) -> Iterator[None]:
    """From the ``n``-th change of a file in ``folder`` on, the disk takes no more."""
    count = [0]

    def act() -> None:
        count[0] += 1
        if count[0] > n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with watched(folder, act):
        yield


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below ``folder`` with its bytes, every folder with None."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
