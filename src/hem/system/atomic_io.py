"""Files that are whole or absent: written to the side, synced, and renamed."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hem.errors import UserError, require


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file of the same name elsewhere, then put it in the place of ``path``.

    Whatever fails, ``path`` holds what it held before, and nothing is left beside it. A link at
    ``path`` is replaced, and what it leads to stays as it is.
    """
    with side_folder(path) as side:
        write(side / path.name)
        sync(side / path.name)
        (side / path.name).replace(path)
    sync(path.parent)


@contextmanager
def side_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, on the same disk, that is gone when the block ends.

    Nobody can know its name before and put a link there, and no process meets another's. What a
    killed process leaves of it is what ``clear_beside`` removes.
    """
    side = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    side.mkdir()
    try:
        yield side
    finally:
        shutil.rmtree(side, ignore_errors=True)


def clear_beside(path: Path) -> None:
    """Remove what killed processes left while they wrote ``path``; none may be writing it now."""
    for leftover in path.parent.glob(f".{glob.escape(path.name[:40])}.*.tmp*"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raise ``UserError`` where a folder that is written to, and cleared, lies somewhere else."""
    require(
        not path.is_symlink(),
        f"{path} is a symbolic link, and hem writes to no folder outside of the run's own: put the "
        "folder itself in its place",
    )


def write_json(path: Path, data: Any) -> None:
    """Write plain data, dataclasses or msgspec's structs as indented JSON, atomically."""
    plain = msgspec.to_builtins(data, enc_hook=_plain)
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically.

    Raises:
        UserError: it holds what is no character, such as a file's name that is not UTF-8.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"cannot write {path}: {text[error.start - 20 : error.end]!r} is not UTF-8"
        ) from error
    write_atomically(path, lambda side: _fill(side, data))


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Say in a line of the user's what the disk says of writing ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_arrays(
    path: Path, arrays: dict[str, np.ndarray], header: dict[str, str] | None = None
) -> None:
    """Write a new safetensors file; what the disk refuses is an ``OSError``, as everywhere."""
    path.touch(exist_ok=False)
    mode = path.stat().st_mode  # as of any new file, where safetensors makes a private one
    try:
        save_file(arrays, path, metadata=header)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(mode)


def sync(path: Path) -> None:
    """Have the operating system put a file or a folder's entries on the disk."""
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:
            return  # which Windows does not open, and has its own ways to keep
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
