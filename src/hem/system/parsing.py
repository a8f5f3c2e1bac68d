"""Files are not trusted: each is checked against its type, or rejected with a reason."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from hem.errors import UserError, require

LARGEST = 2**24  # bytes of JSON
DEEPEST = 50  # levels of nested lists and objects

# Guaranteed ranges of fields with these types; none of them is NaN.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Number = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | float

T = TypeVar("T")


class AbsentError(UserError):
    """There is no such file."""


def read_json(path: Path, kind: type[T], schema: int | None = None) -> T:
    """The JSON in a file, as a ``kind``: any type that msgspec knows, such as its ``Struct``.

    Args:
        path: the file.
        kind: what it must hold. Nothing is coerced: no "1" or 1.0 for 1.
        schema: the version that this hem reads, in the field ``schema``; None: it has none.

    Raises:
        AbsentError: there is no such file.
        UserError: it cannot be read, is damaged, or has another type or version.
    """
    with open_file(path) as stream:
        data = stream.read(LARGEST + 1)
    return parse_json(data, kind, str(path), schema)


def parse_json(data: bytes | str, kind: type[T], name: str, schema: int | None = None) -> T:
    """Like ``read_json``, for text already read; errors call its source ``name``."""
    require(len(data) <= LARGEST, f"{name} is damaged: it has more than {LARGEST} bytes")
    try:
        value = msgspec.json.decode(data)
        require(not _is_deeper(value, DEEPEST), f"{name} is damaged: it is nested too deeply")
        if schema is not None:
            _check_schema(value, name, schema)
        return msgspec.convert(value, kind, strict=True)
    except RecursionError as error:
        raise UserError(f"{name} is damaged: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is damaged: its text is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise UserError(f"{name} is damaged: {error}") from error


def parse_toml(file: Path, kind: type[T]) -> T:
    """The TOML in a file, as a ``kind``.

    Raises:
        UserError: it cannot be read, is not TOML, or has unknown keys or other types.
    """
    with open_file(file) as stream:
        data = stream.read(LARGEST)
    try:
        return msgspec.convert(_loaded(data.decode()), kind, strict=True)
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file} is not a TOML file: {error}") from error
    except ValueError as error:  # also of Python itself, which reads no 5,000 digits
        raise UserError(f"{file} is not a TOML file: an integer exceeds 64 bits") from error


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read bytes; disk errors while it is open name it.

    Raises:
        AbsentError: there is no such file.
        UserError: it cannot be read, or is a folder, a pipe or a device, which might never end.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            require(regular, f"cannot read {path}: it is not a regular file")
            yield stream
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AbsentError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for its writer


def _loaded(text: str) -> dict[str, Any]:
    """What TOML says. Its integers have 64 bits; Python's could be too large for a float."""
    value = tomllib.loads(text)
    if any(abs(number) >= 2**63 for number in _integers(value)):
        raise ValueError
    return value


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    for inner in _inside(value):
        yield from _integers(inner)


def _check_schema(value: Any, name: str, schema: int) -> None:
    found = value.get("schema") if isinstance(value, dict) else None
    if type(found) is not int:
        raise UserError(f"{name} is damaged: it has no schema version")
    versions = f"(schema {found}; this one reads {schema})"
    require(found <= schema, f"{name} was made by a newer hem {versions}: upgrade hem")
    advice = "use the hem that made it, or train again"
    require(found == schema, f"{name} was made by an older hem {versions}: {advice}")


def _is_deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _inside(outer)]
    return bool(layer)


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
