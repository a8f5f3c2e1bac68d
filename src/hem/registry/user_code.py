"""Algorithms, strategies and environments in a user's file or module, by name.

| name | what it stands for |
|---|---|
| ``my_algo.py`` | the file itself, with ``NAME``, ``Config`` and ``make``, like one of hem's own |
| ``my_algo.py:MyAlgo`` | an object in the file |
| ``my_package:MyAlgo`` | an object in, or a module of, an importable module |

For environments only the first form is handled here; the others are Gymnasium environments.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hem.envs.adapters.env_id import existing
from hem.envs.adapters.user_module import imported, load_file, member
from hem.errors import UserError, one_line

PROGRAM = "python"  # in "python:MyEnv", the name of an object that only its program finds
CODE = re.compile(
    r"(?P<file>.+\.py)(?::(?P<member>\w+))?|(?P<module>[A-Za-z_][\w.]*):(?P<name>\w+)"
)


def is_code(kind: str, name: str) -> bool:
    """Whether a name stands for a user's file or module; nothing is run."""
    return _parsed(kind, name) is not None


def full_name(kind: str, name: str) -> str:
    """The name that is valid in any folder.

    Raises:
        AbsentError: there is no such file.
    """
    found = _parsed(kind, name)
    if found is None or found["file"] is None:
        return name
    return str(existing(found["file"])) + name.removeprefix(found["file"])


def load_code(kind: str, name: str) -> Any:
    """The object that a name stands for; its file or module is run.

    Raises:
        UserError: there is none of that name, or its code failed.
    """
    found = _parsed(kind, name)
    assert found is not None
    try:
        module = load_file(found["file"]) if found["file"] else imported(found["module"])
        name_in_it = found["member"] or found["name"]
        return module if name_in_it is None else member(module, name_in_it)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it may do anything
        what = one_line(f"{type(error).__name__}: {error}", 300)
        raise UserError(f"the {kind} {name} cannot be loaded ({what}): fix it") from error


def defines_name(file: str) -> bool:
    """Whether a file sets ``NAME``, as hem's own do; it is not run."""
    try:
        tree = ast.parse(Path(file).read_bytes(), file)
    except (OSError, SyntaxError, ValueError):
        return False
    targets = (node.targets[0] for node in tree.body if isinstance(node, ast.Assign))
    return any(isinstance(target, ast.Name) and target.id == "NAME" for target in targets)


def name_of(given: Any) -> str | None:
    """The name by which any program on this machine finds an object; None if there is none.

    An object of the main program has none, as loading a script would run it again.
    """
    if isinstance(given, ModuleType):
        return _file_of(given)
    if getattr(given, "__module__", None) == "__main__":
        return None
    module = sys.modules.get(getattr(given, "__module__", None) or "")
    name = getattr(given, "__qualname__", "")
    if module is None or getattr(module, name, None) is not given or not name.isidentifier():
        return None
    if "." in module.__name__ or _is_installed(module):
        return f"{module.__name__}:{name}"
    file = _file_of(module)
    return None if file is None else f"{file}:{name}"


def _parsed(kind: str, name: str) -> re.Match | None:
    found = None if name.startswith(f"{PROGRAM}:") else CODE.fullmatch(name)
    if kind != "environment" or found is None:
        return found
    is_whole = found["file"] and not found["member"] and not name.startswith("envpool:")
    return found if is_whole else None


def _file_of(module: ModuleType) -> str | None:
    """The file of a module, if it has one and is not the main program."""
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__" or not isinstance(file, str) or not file.endswith(".py"):
        return None
    return str(Path(file).absolute()) if Path(file).is_file() else None


def _is_installed(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(sysconfig.get_path("purelib"))
