"""The registry of environments, algorithms and hindsight strategies, found in the source files.

Each is one file with ``NAME``, ``Config`` and ``make``; adding the file is all it takes. Names and
summaries are read from the source, so listing them imports nothing heavy. External environments
come from ``hem.envs.adapters``.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gymnasium

from hem.errors import UserError
from hem.system.conversion import checked, fill

PACKAGES = {
    "environment": ("hem.envs", "hem.envs.mujoco"),
    "algorithm": ("hem.algorithms",),
    "strategy": ("hem.hindsight",),
}
EnvName = Annotated[str, "the name of an environment (my_env.py:MyEnv for your own class)"]
ADAPTERS = "hem.envs.adapters"  # for external environments; they import JAX


class Entry(NamedTuple):
    """An entry that can be named on the command line."""

    name: str
    summary: str  # the first paragraph of its module docstring
    module: str  # dotted path


@functools.cache
def entries(kind: str) -> dict[str, Entry]:
    """All entries of a kind ("environment", "algorithm", "strategy"), by name."""
    found = {}
    for package in PACKAGES[kind]:
        folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
        for file in sorted(folder.glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            name = _constant(tree, "NAME")
            if name is not None:
                summary = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
                found[name] = Entry(name, summary, f"{package}.{file.stem}")
    return found


def load(kind: str, name: str) -> Any:
    """The module of an entry, with its ``NAME``, ``Config`` and ``make``.

    An environment may also be a class in a file or a Gymnasium ID (see ``hem.envs.adapters``); then
    an object with the same attributes is returned. None of its code is run here.

    Raises:
        UserError: unknown name; the nearest one is suggested.
    """
    known = entries(kind)
    if name in known:
        return importlib.import_module(known[name].module)
    foreign, hint = [], ""
    if kind == "environment":
        adapter, env_id = (
            importlib.import_module(f"{ADAPTERS}.{part}") for part in ("adapter", "env_id")
        )
        if (found := adapter.find(name)) is not None:
            return found
        foreign, hint = env_id.registered(), f"; {env_id.known_forms()}"
    by_lower = {n.lower(): n for n in (*foreign, *known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.4)
    guess = f"did you mean {by_lower[near[0]]}? " if near else ""
    listed = ", ".join(sorted(known))
    raise UserError(f"unknown {kind} {name!r}: {guess}use one of {listed}{hint}")


def summary(env: str) -> str:
    """The one-sentence summary of an environment.

    Raises:
        UserError: unknown name.
    """
    known = entries("environment")
    return known[env].summary if env in known else load("environment", env).summary


def code_named(env: str, config: Any) -> str | None:
    """The external code that an environment's configuration would run, or None."""
    if env in entries("environment"):
        return None
    return load("environment", env).code_named(config)


@checked
def make_env(env: EnvName, render_mode: str | None = None, **settings: Any) -> gymnasium.Env:
    """Make ``env`` with these configuration fields, as a Gymnasium environment."""
    from hem.envs.gym_env import GoalEnv  # noqa: PLC0415  imports JAX

    module = load("environment", env)
    return GoalEnv(module.make(fill(module.Config, settings)), render_mode)


def register_environments() -> None:
    """Register every environment with Gymnasium as ``hem/<name>``, without importing any."""
    for name in entries("environment"):
        versioned = name if re.search(r"-v\d+$", name) else f"{name}-v0"
        gymnasium.register(
            f"hem/{versioned}", entry_point="hem.registry:make_env", kwargs={"env": name}
        )


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
