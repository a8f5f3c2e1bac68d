"""From names and objects to environments, algorithms and hindsight strategies.

hem's own are one file each with ``NAME``, ``Config`` and ``make``; adding the file is all it takes.
Others come from a program (``register``, or the object itself), from plug-ins and from users'
files. For each of these there is a file here; how a Gymnasium environment is run is a matter of
``hem.envs.adapters``.
"""

from __future__ import annotations

import difflib
import importlib
import re
from typing import Annotated, Any, Literal, NamedTuple

import gymnasium

from hem.errors import UserError, require
from hem.registry import plugins, user_code
from hem.registry.own_entries import PACKAGES, Entry, own
from hem.registry.user_code import PROGRAM
from hem.system.conversion import checked, fill

EnvName = Annotated[str, "the name of an environment (my_env.py:MyEnv for your own class)"]
# These import JAX, and so only once they are needed.
ADAPTERS = "hem.envs.adapters"
OBJECTS = "hem.registry.objects"


class Component(NamedTuple):
    """An environment, algorithm or strategy that was found."""

    name: str  # what a run records
    module: Any  # with NAME, Config and make
    is_object: bool = False  # given or registered by this program, and not found by its name


class Registered(NamedTuple):
    """What a program has registered."""

    given: Any
    module: Any


_registered: dict[str, dict[str, Registered]] = {kind: {} for kind in PACKAGES}


def entries(kind: str) -> dict[str, Entry]:
    """All entries of a kind ("environment", "algorithm", "strategy"), by name."""
    found = dict(own(kind))
    for name, points in plugins.plug_ins(kind).items():
        packages = plugins.packages(points, also_hem=name in found)
        found[name] = Entry(name, f"from {packages}", points[0].value)
    for name, (given, module) in _registered[kind].items():
        found[name] = Entry(name, _summary(module), getattr(given, "__module__", ""))
    return found


def register(
    kind: Literal["environment", "algorithm", "strategy"], given: Any, name: str | None = None
) -> None:
    """Give an environment, algorithm or strategy a name, for the rest of this program.

    Args:
        kind: which of the three.
        given: an object with ``NAME``, ``Config`` and ``make``, or what else ``hem.train`` takes in
            place of a name.
        name: by default, that of the object.

    Raises:
        UserError: the name is taken, or the object is of no suitable type.
    """
    objects = importlib.import_module(OBJECTS)
    require(
        isinstance(kind, str) and kind in PACKAGES,
        f"kind must be environment, algorithm or strategy, not {kind!r}",
    )
    name = objects.display_name(given) if name is None else name
    if not isinstance(name, str):
        raise UserError(f"name must be a string, not {name!r}")
    earlier = _registered[kind].get(name)
    is_free = _is_again(given, earlier.given) if earlier else name not in entries(kind)
    require(is_free, f"there is already the {kind} {name}: give yours another name")
    _registered[kind][name] = Registered(given, objects.as_module(kind, given, name))


def load(kind: str, name: str) -> Any:
    """The module of an entry, with its ``NAME``, ``Config`` and ``make``; errors as in ``find``."""
    return find(kind, name).module


def find(kind: str, given: Any) -> Component:
    """What a name stands for, or an object that a program gives in place of one.

    The file or module of a user's algorithm or strategy is run; of a user's Gymnasium environment,
    no code is.

    Raises:
        UserError: unknown name, where the nearest one is suggested, or an unsuitable object.
    """
    objects = importlib.import_module(OBJECTS)
    if not isinstance(given, str):
        name = objects.given_name(kind, given)
        if objects.is_named_env(kind, given, name):
            return _other(kind, name)
        module = objects.as_module(kind, given, name)
        return Component(name, module, is_object=True)
    name = given
    require_name(kind, name)
    if name in _registered[kind]:
        return Component(name, _registered[kind][name].module, is_object=True)
    if name in plugins.plug_ins(kind):
        offered = plugins.load_plug_in(kind, name, also_hem=name in own(kind))
        return Component(name, objects.as_module(kind, offered, name))
    if name in own(kind):
        return Component(name, importlib.import_module(own(kind)[name].module))
    if user_code.is_code(kind, name):
        full = user_code.full_name(kind, name)
        return Component(full, objects.as_code(kind, full))
    return _other(kind, name)


def _other(kind: str, name: str) -> Component:
    """A Gymnasium environment by its name.

    Raises:
        UserError: there is none; the nearest name is suggested.
    """
    known = entries(kind)
    foreign, hint = [], ""
    if kind == "environment":
        adapter, env_id = (
            importlib.import_module(f"{ADAPTERS}.{part}") for part in ("adapter", "env_id")
        )
        if (found := adapter.find(name)) is not None:
            return Component(found.NAME, found)
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
    return known[env].summary if env in known else _summary(load("environment", env))


def is_object(name: str) -> bool:
    """Whether a name is that of an object which only its program has."""
    return name.startswith(f"{PROGRAM}:")


def require_name(kind: str, name: str) -> None:
    """Require that a name is not that of an object which only a program has.

    Raises:
        UserError: it is.
    """
    parameter = {"environment": "env", "algorithm": "algo"}.get(kind, kind)
    what = name.removeprefix(f"{PROGRAM}:")
    require(
        not is_object(name),
        f"the {kind} {what} was an object of a Python program, which no name finds: continue in "
        f"that program, as in hem.resume(run, {parameter}={what})",
    )


def is_code(kind: str, name: str) -> bool:
    """Whether finding a name runs a user's file or module. It is not run here."""
    return name not in entries(kind) and user_code.is_code(kind, name)


def code_named(env: str, config: Any) -> str | None:
    """The external code that an environment's configuration would run, or None."""
    if is_code("environment", env):
        return env
    module = load("environment", env)
    return module.code_named(config) if hasattr(module, "code_named") else None


@checked
def make_env(env: EnvName, render_mode: str | None = None, **settings: Any) -> gymnasium.Env:
    """Make ``env`` with these configuration fields, as a Gymnasium environment."""
    from hem.envs.gym_env import GoalEnv  # noqa: PLC0415  imports JAX

    module = load("environment", env)
    return GoalEnv(module.make(fill(module.Config, settings)), render_mode)


def register_environments() -> None:
    """Register every environment with Gymnasium as ``hem/<name>``, without importing any."""
    for name in own("environment"):
        gymnasium.register(
            gymnasium_id(name), entry_point="hem.registry:make_env", kwargs={"env": name}
        )


def gymnasium_id(name: str) -> str:
    """The Gymnasium ID of one of hem's own environments."""
    return f"hem/{name}" if re.search(r"-v\d+$", name) else f"hem/{name}-v0"


def _summary(module: Any) -> str:
    """The first paragraph about an entry."""
    text = getattr(module, "summary", None) or getattr(module, "__doc__", None) or ""
    return " ".join(text.split("\n\n")[0].split())


def _is_again(given: Any, earlier: Any) -> bool:
    """Whether it is the same object, or its definition was run again, as in a notebook."""
    home, before = (
        [getattr(x, part, None) for part in ("__module__", "__qualname__")]
        for x in (given, earlier)
    )
    return given is earlier or (home == before and None not in home)
