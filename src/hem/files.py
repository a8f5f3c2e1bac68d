"""Files that are whole or absent: written to the side, synced, and renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hem.errors import UserError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in its place.

    Whatever fails, ``path`` holds what it held before, and nothing is left beside it.
    """
    side = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(side)
        sync(side)
        side.replace(path)
    finally:
        side.unlink(missing_ok=True)
    sync(path.parent)


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
    """Write a safetensors file; what the disk refuses is an ``OSError``, as everywhere."""
    try:
        save_file(arrays, path, metadata=header)
    except SafetensorError as error:
        raise OSError(str(error)) from error


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
