"""Objects that a program gives in place of names: each gets the interface of a module of hem.

An environment is a Gymnasium environment (a class, an instance, or a function that returns one) or
a ``JaxEnv`` or ``BatchedEnv``; a strategy is a function, an algorithm an ``Algorithm``. Each may
also be an object with ``NAME``, ``Config`` and ``make``, like hem's own modules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import gymnasium

from hem.envs.adapters.adapter import EnvAdapter, find
from hem.envs.adapters.env_id import EnvId
from hem.errors import UserError, require
from hem.registry.user_code import PROGRAM, defines_name, load_code, name_of
from hem.system.user_object import UserObject
from hem.types import Algorithm, BatchedEnv, JaxEnv

ENVS = (gymnasium.Env, gymnasium.vector.VectorEnv)
KINDS = {
    "environment": (
        "env",
        "a Gymnasium environment (a class, an instance or a function that returns one), a JaxEnv "
        "or BatchedEnv",
    ),
    "algorithm": ("algo", "an Algorithm"),
    "strategy": ("strategy", "a function (key, replay, index) -> goal_step"),
}


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """The settings of an object that has none."""

    uses_strategy: ClassVar[bool] = False


class Fixed(NamedTuple):
    """A record or function, with the interface of the module that would have made it."""

    NAME: str
    value: Any

    @property
    def Config(self) -> type:
        return NoSettings

    def make(self, config: Any, *given: Any) -> Any:
        """The record, whatever it was asked for."""
        return self.value


def given_name(kind: str, given: Any) -> str:
    """The name that a run records for an object: of its file or module, if any program finds it."""
    found = name_of(given)
    is_found = kind != "environment" or isinstance(given, ModuleType) or _is_function(given)
    if found is not None and is_found:
        return found
    return f"{PROGRAM}:{display_name(given)}"


def is_named_env(kind: str, given: Any, name: str) -> bool:
    """Whether an object is a Gymnasium environment that any program makes by this name."""
    is_made = kind == "environment" and not _is_module_like(given) and _is_function(given)
    return is_made and not name.startswith(f"{PROGRAM}:")


def as_code(kind: str, name: str) -> Any:
    """A user's file, or an object in it or in a module, as ``as_module`` returns it.

    Raises:
        UserError: its code failed, or it is of no suitable type.
    """
    if kind == "environment" and not defines_name(name):
        return find(name)  # which says that the name of a class is missing
    return as_module(kind, load_code(kind, name), name)


def as_module(kind: str, given: Any, name: str) -> Any:
    """An object with the interface of a module of hem: ``NAME``, ``Config`` and ``make``.

    Args:
        kind: "environment", "algorithm" or "strategy".
        given: the object.
        name: what it is called.

    Raises:
        UserError: it is of no suitable type.
    """
    if _is_module_like(given):
        require(
            kind != "algorithm" or hasattr(given.Config, "uses_strategy"),
            f"the Config of {name} needs an attribute uses_strategy: True, or False if the "
            "algorithm never uses a hindsight strategy",
        )
        return given
    makers: dict[str, Callable[[Any, str], Any]] = {
        "environment": _environment,
        "algorithm": lambda given, name: isinstance(given, Algorithm) and Fixed(name, given),
        "strategy": lambda given, name: _is_function(given) and Fixed(name, given),
    }
    if module := makers[kind](given, name):
        return module
    parameter, forms = KINDS[kind]
    raise UserError(
        f"{parameter} must be the name of a known {kind}, {forms}, or an object with NAME, Config "
        f"and make, not {_shown(given)}"
    )


def _environment(given: Any, name: str) -> Any:
    if isinstance(given, (JaxEnv, BatchedEnv)):
        return Fixed(given.task.name, given)
    if not _is_function(given) and not isinstance(given, ENVS):
        return None
    display = name.removeprefix(f"{PROGRAM}:")
    return EnvAdapter(EnvId("object", "", display, UserObject(display, given)))


def _is_module_like(given: Any) -> bool:
    name, config, make = (getattr(given, part, None) for part in ("NAME", "Config", "make"))
    return isinstance(name, str) and dataclasses.is_dataclass(config) and callable(make)


def _is_function(given: Any) -> bool:
    """Whether it is a function, or a class of Gymnasium environments."""
    if isinstance(given, type):
        return issubclass(given, ENVS)
    return callable(given) and not isinstance(given, ENVS)


def display_name(given: Any) -> str:
    """What an object is called."""
    if isinstance(given, (JaxEnv, BatchedEnv)):
        return given.task.name
    if isinstance(given, gymnasium.Env):
        return type(given.unwrapped).__name__
    name = getattr(given, "NAME", None) or getattr(given, "__qualname__", None)
    return (name or type(given).__name__).rpartition(".")[2]


def _shown(given: Any) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 80 else f"{text[:80]} ..."
