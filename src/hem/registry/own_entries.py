"""hem's own entries: modules that set ``NAME``, one file each.

Names and summaries are read from the source, so listing them imports nothing heavy.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple

PACKAGES = {
    "environment": ("hem.envs", "hem.envs.mujoco"),
    "algorithm": ("hem.algorithms",),
    "strategy": ("hem.hindsight",),
}


class Entry(NamedTuple):
    """An entry that can be named on the command line."""

    name: str
    summary: str  # the first paragraph of its module docstring
    module: str  # dotted path


@functools.cache
def own(kind: str) -> dict[str, Entry]:
    """hem's own entries of a kind, by name."""
    return defined_in(*PACKAGES[kind])


def defined_in(*packages: str) -> dict[str, Entry]:
    """The modules in packages of hem's that set ``NAME``, by that name; none of them is run."""
    found = {}
    for package in packages:
        folder = Path(__file__).parents[1].joinpath(*package.split(".")[1:])
        for file in sorted(folder.glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            name = _constant(tree, "NAME")
            if name is not None:
                summary = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
                found[name] = Entry(name, summary, f"{package}.{file.stem}")
    return found


def _constant(tree: ast.Module, name: str) -> str | None:
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == name
            and isinstance(node.value, ast.Constant)
        ):
            return str(node.value.value)
    return None
