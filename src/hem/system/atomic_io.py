"""Files that are complete or absent: written elsewhere, synced, and renamed."""

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

TOKEN = 16  # characters of a side folder's name that nobody can know before


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file of the same name elsewhere, then move it to ``path``.

    Whatever fails, ``path`` keeps its contents, and nothing is left beside it. A link at ``path``
    is replaced, and its target stays unchanged.
    """
    with side_folder(path) as side:
        write(side / path.name)
        sync(side / path.name)
        (side / path.name).replace(path)
    sync(path.parent)


@contextmanager
def side_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, on the same disk, removed when the block ends.

    Its name is random, so nobody can place a link there in advance, and processes do not collide.
    ``clear_beside`` removes what a killed process leaves of it.
    """
    side = side_of(path, secrets.token_hex(TOKEN // 2))
    side.mkdir()
    try:
        yield side
    finally:
        shutil.rmtree(side, ignore_errors=True)


def side_of(path: Path, token: str) -> Path:
    """The side folder of ``path`` with this token."""
    return path.with_name(f".{path.name[:40]}.{token}.tmp")


def clear_beside(path: Path) -> None:
    """Remove what killed processes left when writing ``path``; none may be writing it now."""
    for leftover in path.parent.glob(f".{glob.escape(path.name[:40])}.*.tmp*"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its contents; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raise ``UserError`` if a folder that is written to and cleared is a link."""
    require(
        not path.is_symlink(),
        f"{path} is a symbolic link, and hem does not write outside the run folder: replace it "
        "with the folder itself",
    )


def write_json(path: Path, data: Any) -> None:
    """Write plain data, dataclasses or msgspec structs as indented JSON, atomically."""
    plain = msgspec.to_builtins(data, enc_hook=_plain)
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically.

    Raises:
        UserError: it cannot be encoded, such as a file name that is not UTF-8.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"cannot write {path}: {text[error.start - 20 : error.end]!r} is not UTF-8"
        ) from error
    write_bytes(path, data)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data``, atomically."""
    write_atomically(path, lambda side: _fill(side, data))


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn disk errors when writing ``path`` into a ``UserError``."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_arrays(
    path: Path, arrays: dict[str, np.ndarray], header: dict[str, str] | None = None
) -> None:
    """Write a new safetensors file; disk errors are an ``OSError``, as everywhere."""
    path.touch(exist_ok=False)
    mode = path.stat().st_mode  # as for any new file; safetensors makes a private one
    try:
        save_file(arrays, path, metadata=header)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(mode)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:
            return  # Windows cannot open folders, and persists them by itself
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
