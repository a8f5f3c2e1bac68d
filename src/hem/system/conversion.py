"""Converts values from a program or a file to a setting's type, or rejects them by its name.

Whole floats become integers (``4.0``), NumPy numbers become Python numbers, and lists, arrays and
ranges become tuples. Nothing else is coerced: no string to a number, no 1 to True.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
import numpy as np

from hem.errors import UserError, require

LARGEST = 2**63  # integers must be smaller, to fit in an array
PLURALS = {"an integer": "integers", "a string": "strings", "a finite number": "numbers"}

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def convert(name: str, value: Any, kind: Any) -> Any:
    """``value`` as a ``kind``: int, float, bool, str, a path, a literal, a tuple or list of them.

    An ``Annotated`` kind describes in its own words what the value must be.

    Raises:
        UserError: the value is not of this kind; the message names the setting like its flag.
    """
    if Path in (kind, *get_args(kind)):
        return _path(name, value, kind)
    if isinstance(value, (set, frozenset)):  # which msgspec would put in arbitrary order
        raise _refusal(name, value, _words(kind))
    try:
        found = msgspec.convert(_whole(plain(value)), kind, strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refusal(name, value, _words(kind)) from error
    for number in found if isinstance(found, (tuple, list)) else [found]:
        if isinstance(number, float) and not math.isfinite(number):
            raise _refusal(name, value, _words(kind))
        if isinstance(number, int) and abs(number) >= LARGEST:
            raise _refusal(name, value, "less than 2^63 in magnitude")
    return found


def newer(default: T) -> T:
    """A field of a configuration that older files lack: they mean its default."""
    return dataclasses.field(default=default, metadata={"newer": True})


def older(config: Any) -> dict[str, Any]:
    """What a file that lacks the newer fields of this configuration means by that, by field."""
    return {
        field.name: field.default
        for field in dataclasses.fields(config)
        if field.metadata.get("newer")
    }


def fill(cls: type[T], values: Mapping[str, Any], complete: bool = False) -> T:
    """A configuration dataclass with these fields.

    Args:
        cls: the dataclass. A field's metadata may name a type that it ``also`` takes unchanged.
        values: by field; other fields keep their defaults.
        complete: whether all fields are required, as in a file, but for ``newer`` ones.

    Raises:
        UserError: a value has the wrong type or is invalid, or a field is unknown or missing.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore
    unknown = sorted(str(name) for name in values.keys() - fields.keys())
    require(not unknown, f"unknown setting {', '.join(unknown)}: use one of {', '.join(fields)}")
    missing = [
        name
        for name, field in fields.items()
        if complete and name not in values and not field.metadata.get("newer")
    ]
    require(not missing, f"these settings are missing: {', '.join(missing)}")
    kinds, given = get_type_hints(cls), {}
    for name, value in values.items():
        as_it_is = isinstance(value, fields[name].metadata.get("also", ()))
        given[name] = value if as_it_is else convert(name, value, kinds[name])
    return cls(**given)


def refilled(config: T) -> T:
    """The same configuration, made by something else, such as a parser of flags; as in ``fill``."""
    fields = dataclasses.fields(config)  # pyright: ignore
    return fill(type(config), {field.name: getattr(config, field.name) for field in fields})


def plain(value: Any) -> Any:
    """The value without NumPy and JAX arrays and numbers, and with lists for sequences."""
    if hasattr(value, "ndim") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, np.str_):
        return str(value)
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, with arguments first converted to their annotated types.

    Those annotated as Any or not at all, and extra keyword arguments, are passed unchanged.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        kinds = get_type_hints(function, include_extras=True)
        for name, value in bound.arguments.items():
            further = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            if not further and (kind := kinds.get(name, Any)) is not Any:
                bound.arguments[name] = convert(name, value, kind)
        return function(*bound.args, **bound.kwargs)

    return called


def _path(name: str, value: Any, kind: Any) -> Any:
    if value is None and type(None) in get_args(kind):
        return None
    if isinstance(value, (str, os.PathLike)) and isinstance(text := os.fspath(value), str):
        require("\0" not in text, f"{_flag(name)} must be a path, not {value!r}")
        return value
    raise _refusal(name, value, _words(kind))


def _whole(value: Any) -> Any:
    """The value with whole floats as integers."""
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refusal(name: str, value: Any, words: str) -> UserError:
    shown = " ".join(reprlib.repr(value).split())
    return UserError(f"{_flag(name)} must be {words}, not {shown}")


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _words(kind: Any) -> str:
    """A type in words."""
    simple = {int: "an integer", float: "a finite number", bool: "True or False", str: "a string",
              Path: "a path", type(None): "None"}  # fmt: skip
    if kind in simple:
        return simple[kind]
    inner = get_args(kind)
    if get_origin(kind) is Annotated:
        return inner[1]
    if get_origin(kind) is Literal:
        *others, last = map(str, inner)
        return f"{', '.join(others)} or {last}" if others else last
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_words(k) for k in inner if k is not str or Path not in inner)
    if get_origin(kind) in (tuple, list, Sequence):
        return PLURALS[_words(inner[0])]
    return "a dict of settings" if get_origin(kind) is dict else str(kind)
