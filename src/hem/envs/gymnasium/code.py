"""A user's Python file, and what is in it."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from hem.errors import UserError


def member(path: str, name: str) -> Any:
    """A class or function in a file, which is run.

    Raises:
        UserError: the file has none of that name.
    """
    module = load_file(path)
    if callable(found := getattr(module, name, None)):
        return found
    own = [
        n
        for n, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    raise UserError(
        f"{path} has no class or function {name!r}: it has {', '.join(own) or 'none at all'}"
    )


def located(path: str) -> Path:
    """The same place, as it is named in any folder."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # nobody has this name: it is a file's
        return Path(path).absolute()


def load_file(path: str) -> ModuleType:
    """The module that a file is; run once for each content that it has."""
    return _run_file(path, digest(path))


def digest(path: str) -> str:
    """What changes when a file does: 16 hex digits.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@functools.cache
def _run_file(path: str, content: str) -> ModuleType:
    # Not through Python's cache of compiled files, which takes a file that was changed twice
    # within a second for the same one.
    name = f"{Path(path).stem}_{content}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(Path(path).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that it finds its neighbours, as a script does
    sys.modules[name] = module
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    # A vector environment sends functions of this module to processes that cannot import it.
    cloudpickle.register_pickle_by_value(module)
    return module
