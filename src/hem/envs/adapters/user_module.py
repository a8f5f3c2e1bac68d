"""Loading of a user's Python file or module, and lookup of its members."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from hem.errors import UserError


def member(module: ModuleType, name: str) -> Any:
    """An object in a module, or a module of a package.

    Raises:
        UserError: there is none of that name.
    """
    if not hasattr(module, name) and hasattr(module, "__path__"):
        try:
            return importlib.import_module(f"{module.__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{module.__name__}.{name}":
                raise  # one of its own imports
    if not hasattr(module, name):
        raise UserError(f"{_place(module)} has no {name!r}: it has {_own(module)}")
    return getattr(module, name)


def function(module: ModuleType, name: str) -> Any:
    """A class or function in a module; errors as in ``member``, or if it is something else."""
    found = member(module, name)
    if not callable(found):
        raise UserError(
            f"{name!r} in {_place(module)} is not a class or function: it has {_own(module)}"
        )
    return found


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


def _own(module: ModuleType) -> str:
    """The classes and functions that a module defines."""
    inside = f"{module.__name__}."
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and f"{getattr(value, '__module__', '')}.".startswith(inside)
    ]
    return ", ".join(own) or "none"


def imported(name: str) -> ModuleType:
    """Import a module from Python's path, or otherwise from the current folder.

    Raises:
        UserError: there is none.
    """
    _look_in(Path.cwd())  # last, so that it does not shadow installed packages
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # one of its own imports
        raise UserError(
            f"there is no module {error.name}, neither on Python's path nor in {Path.cwd()}"
        ) from error


def located(path: str) -> Path:
    """The absolute path."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # there is no such user: it is part of the file name
        return Path(path).absolute()


def load_file(path: str) -> ModuleType:
    """Load a file as a module; it is run once for each version of its content."""
    return _run_file(path, digest(path))


def digest(path: str) -> str:
    """A hash of a file's content: 16 hex digits.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@functools.cache
def _run_file(path: str, content: str) -> ModuleType:
    # Not through Python's bytecode cache, which misses a second change within the same second.
    text = Path(path).read_bytes()
    _look_in(Path(path).parent)  # so that it can import its neighbors, like a script
    package = _package(Path(path), _levels(ast.parse(text, path)))
    name = f"{package}{Path(path).stem}_{content}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(text, path, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    # A vector environment sends this module's functions to processes that cannot import it.
    cloudpickle.register_pickle_by_value(module)
    return module


def _levels(tree: ast.Module) -> int:
    """The highest level of a file's relative imports; 1 is its own folder."""
    found = (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return max(found, default=0)


def _package(path: Path, levels: int) -> str:
    """The imported package of a file, and a dot; "" if there is none, or none is needed.

    Relative imports then fail as in a script, which some files expect.
    """
    if not levels:
        return ""
    root, parts = path.parent, []
    while root.name and (len(parts) < levels or (root / "__init__.py").is_file()):
        root, parts = root.parent, [root.name, *parts]
    _look_in(root)
    try:
        package = imported(".".join(parts))
    except UserError:
        return ""
    found = str(path.parent) in getattr(package, "__path__", ())  # not another of the same name
    return f"{package.__name__}." if found else ""


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()  # files may be newer than Python's cached directory listing
