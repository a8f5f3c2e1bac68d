"""What there is: environments, algorithms and hindsight strategies, found by looking.

Each is one file with ``NAME``, ``Config`` and ``make``; adding the file is all it takes. Names and
summaries are read from the source, so that listing them imports nothing heavy. Environments that
are not ours come from ``hem.envs.adapters``.
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
EnvName = Annotated[str, "the name of an environment (my_env.py:MyEnv for a class of yours)"]
ADAPTERS = "hem.envs.adapters"  # of environments that are not ours; they import JAX


class Entry(NamedTuple):
    """One thing that can be named on the command line."""

    name: str
    summary: str  # the first sentence of its module docstring
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

    An environment may also be named by a file or an id of Gymnasium, see ``hem.envs.adapters``;
    then it is what describes that one in the same way. None of its code is run here.

    Raises:
        UserError: no such name; the nearest one is suggested.
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
        foreign, hint = env_id.registered(), f"; {env_id.HINT}"
    by_lower = {n.lower(): n for n in (*foreign, *known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.4)
    guess = f"did you mean {by_lower[near[0]]}? " if near else ""
    listed = ", ".join(sorted(known))
    raise UserError(f"there is no {kind} {name!r}: {guess}known are {listed}{hint}")


def summary(env: str) -> str:
    """A sentence about an environment.

    Raises:
        UserError: no such name.
    """
    known = entries("environment")
    return known[env].summary if env in known else load("environment", env).summary


def code_named(env: str, config: Any) -> str | None:
    """What code of somebody's choosing an environment's configuration would run; None if none."""
    if env in entries("environment"):
        return None
    return load("environment", env).code_named(config)


@checked
def make_env(env: EnvName, render_mode: str | None = None, **settings: Any) -> gymnasium.Env:
    """The environment ``env``, with fields of its configuration set, as Gymnasium has them."""
    from hem.envs.gym_env import GoalEnv  # noqa: PLC0415  imports JAX

    module = load("environment", env)
    return GoalEnv(module.make(fill(module.Config, settings)), render_mode)


def register_environments() -> None:
    """Tell Gymnasium of every environment, as ``hem/<name>``, without importing any of them."""
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
