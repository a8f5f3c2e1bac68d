"""A user's Python file or module, and what is in it."""

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
    """A class or function in a module.

    Raises:
        UserError: it has none of that name.
    """
    if callable(found := getattr(module, name, None)):
        return found
    inside = f"{module.__name__}."
    own = [
        n
        for n, value in vars(module).items()
        if callable(value) and f"{getattr(value, '__module__', '')}.".startswith(inside)
    ]
    where = getattr(module, "__file__", None) or module.__name__
    raise UserError(
        f"{where} has no class or function {name!r}: it has {', '.join(own) or 'none at all'}"
    )


def imported(name: str) -> ModuleType:
    """A module from where Python looks for it, or else from the current folder.

    Raises:
        UserError: there is none.
    """
    _look_in(Path.cwd())  # last, so that nothing there hides what is installed
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # one that it wants itself
        raise UserError(
            f"there is no module {error.name}, neither where Python looks nor in {Path.cwd()}"
        ) from error


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
    text = Path(path).read_bytes()
    _look_in(Path(path).parent)  # so that it finds its neighbours, as a script does
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
    # A vector environment sends functions of this module to processes that cannot import it.
    cloudpickle.register_pickle_by_value(module)
    return module


def _levels(tree: ast.Module) -> int:
    """How many folders up a file's relative imports go: 1 is its own."""
    found = (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return max(found, default=0)


def _package(path: Path, levels: int) -> str:
    """The package that a file is in, imported, and a dot; nothing if there is none, or no need.

    Then relative imports fail, as in a script; which some files expect.
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
    found = str(path.parent) in getattr(package, "__path__", ())  # and no other of its name
    return f"{package.__name__}." if found else ""


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()  # files may be younger than what Python last saw there
