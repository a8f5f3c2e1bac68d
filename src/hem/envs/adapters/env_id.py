"""Names of third-party environments, and how to make them.

| name | environment |
|---|---|
| ``my_env.py:MyEnv`` | what a class or function in a file returns |
| ``PointMaze_UMaze-v3`` | an id registered with Gymnasium, including Gymnasium-Robotics |
| ``module:Id-v0`` | the same, after importing that module |
| ``module:MyEnv`` | what a class or function in that module returns |
| ``envpool:FetchPush-v4`` | an EnvPool task |

A program may also give the class, function or instance itself; then no name finds it elsewhere.

Parsing a name imports nothing: only ``construct`` runs the code that it stands for. Worker
processes use this too, so there is no JAX here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from hem.envs.adapters.arguments import has_text, read_kwargs
from hem.envs.adapters.registration import pack, take_over
from hem.envs.adapters.user_module import digest, function, imported, load_file, located
from hem.errors import UserError, require
from hem.system.packages import is_installed
from hem.system.parsing import AbsentError
from hem.system.user_object import UserObject


class EnvId(NamedTuple):
    """Where an environment comes from."""

    kind: str  # "file", "gymnasium", "envpool" or "object"
    place: str  # the file's absolute path, the module to import, or ""
    name: str  # the class, function or id; for a module, whichever exists
    given: UserObject | None = None  # the class, function or instance, if a program gave it

    @property
    def full(self) -> str:
        """The name that identifies it anywhere on this machine."""
        prefix = "envpool" if self.kind == "envpool" else self.place
        return f"{prefix}:{self.name}" if prefix else self.name

    @property
    def short(self) -> str:
        """The display name, without a file's folder."""
        return f"{Path(self.place).name}:{self.name}" if self.kind == "file" else self.full

    @property
    def code(self) -> str | None:
        """The file or module whose code would run; None for a registered or EnvPool id."""
        return self.full if self.place else None

    @property
    def is_instance(self) -> bool:
        """Whether it is an environment that the program has made, and will close."""
        kinds = (gymnasium.Env, gymnasium.vector.VectorEnv)
        return self.given is not None and isinstance(self.given.get(), kinds)


class EnvSpec(NamedTuple):
    """What to make. Plain data, so that it can be sent to another process, and compared."""

    origin: EnvId
    kwargs: tuple[str, ...]  # of the constructor, as name=value
    horizon: int  # steps per episode; 0 for the registered limit
    render: bool = False  # whether it will have to render
    slots: int = 1  # environments in an EnvPool
    threads: int = 1  # of an EnvPool
    registered: bytes = b""  # the id's registration, in case another process does not have it


def known_forms() -> str:
    """How to name third-party environments, and what to install for more."""
    forms = (
        "any Gymnasium goal environment works too: a class in a file as my_env.py:MyEnv, an id "
        "such as PointMaze_UMaze-v3, or module:Id-v0 or module:MyEnv for an importable module"
    )
    if not is_installed("gymnasium_robotics"):
        forms += "; mazes, hands and kitchens need `pip install 'hindsight-em[mujoco]'`"
    return forms


def parse(name: str) -> EnvId | None:
    """The environment that a name stands for; None if it has no known form and is not registered.

    Raises:
        AbsentError: the file does not exist.
        UserError: the name is incomplete.
    """
    if found := re.fullmatch(r"envpool:(.+)", name):
        return EnvId("envpool", "", found[1])
    if found := re.fullmatch(r"(.+\.py)(?::(\w*))?", name):
        file = existing(found[1])
        require(
            bool(found[2]),
            f"{name} is a file: add the name of a class or function in it, as in {file.name}:MyEnv",
        )
        return EnvId("file", str(file), found[2])
    if found := re.fullmatch(r"([A-Za-z_][\w.]*):([\w/.-]+)", name):
        return EnvId("gymnasium", found[1], found[2])
    return EnvId("gymnasium", "", name) if name in registered() else None


def existing(path: str) -> Path:
    """The absolute path of a file.

    Raises:
        AbsentError: it does not exist.
    """
    if not (file := located(path)).is_file():
        raise AbsentError(f"there is no file {file}")
    return file


def registered() -> Iterable[str]:
    """All ids registered with Gymnasium, including those of Gymnasium-Robotics."""
    _register_robotics()
    return gymnasium.registry.keys()


def code_named(origin: EnvId, success: str, env_kwargs: Iterable[str]) -> str | None:
    """The third-party code that a configuration would run; None if it names none.

    Files and modules are code. A string argument of a constructor may also name code.
    """
    texts = filter(has_text, env_kwargs)
    return success or origin.code or next((f"{origin.full} with {text}" for text in texts), None)


def sendable(plan: EnvSpec) -> EnvSpec:
    """The plan for another process, with this process's registration of the id.

    Raises:
        UserError: the registration, or the object that the program gave, cannot be sent.
    """
    if plan.origin.given is not None:
        plan.origin.given.pack()
    by_id = plan.origin.kind == "gymnasium" and not plan.origin.place
    return plan._replace(registered=pack(plan.origin.name) if by_id else b"")


def construct(plan: EnvSpec) -> Any:
    """Make the environment. Its code may do, or raise, anything.

    Raises:
        UserError: there is no environment of that name.
    """
    origin, kwargs = plan.origin, read_kwargs(plan.kwargs)
    if origin.kind == "envpool":
        raise AssertionError("an EnvPool is made by vector_env.py")
    if origin.given is not None:
        return origin.given.get() if origin.is_instance else _made(origin.given.get(), plan, kwargs)
    if origin.kind == "gymnasium":
        _register_robotics()
        take_over(origin.name, plan.registered)
        module = imported(origin.place) if origin.place else None
        if origin.name in gymnasium.registry:
            return _registered(plan, kwargs)
        if module is None or not origin.name.isidentifier():
            even = f", even after importing {origin.place}" if module else ""
            raise UserError(f"no environment {origin.name!r} is registered with Gymnasium{even}")
    else:
        module = load_file(origin.place)
    return _made(function(module, origin.name), plan, kwargs)


def version_of(plan: EnvSpec) -> str:
    """A string that changes with the environment: a package version or a hash of a file."""
    origin, given = plan.origin, " ".join(sorted(plan.kwargs))
    if origin.kind == "file":
        return f"{origin.name} in file {digest(origin.place)} {given}".strip()
    if origin.kind == "envpool":
        return f"{origin.name} in envpool {importlib.metadata.version('envpool')} {given}".strip()
    module = origin.place
    if origin.given is not None:
        value = origin.given.get()
        owner = type(getattr(value, "unwrapped", value)) if origin.is_instance else value
        module = getattr(owner, "__module__", "")
    elif origin.name in gymnasium.registry:
        entry = gymnasium.registry[origin.name].entry_point
        by_name = entry.partition(":")[0] if isinstance(entry, str) else None
        module = by_name or getattr(entry, "__module__", "")
    parts = [_release(module)]
    if "mujoco" in sys.modules and not parts[0].startswith("mujoco "):
        parts.append(_release("mujoco"))  # its physics change between versions
    return f"{origin.name} in {', '.join(parts)} {given}".strip()


def _release(module: str) -> str:
    """An installed package and its version, or a module and its file's hash."""
    names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    if names:
        return f"{names[0]} {importlib.metadata.version(names[0])}"
    file = getattr(sys.modules.get(module), "__file__", None)
    # In a worker process, the main module is a different one.
    return f"{module} {digest(file)}" if file and module != "__main__" else module


def _made(maker: Any, plan: EnvSpec, kwargs: dict[str, Any]) -> Any:
    """What a class or function returns."""
    if plan.render and _takes(maker, "render_mode"):
        kwargs.setdefault("render_mode", "rgb_array")
    return maker(**kwargs)


def _registered(plan: EnvSpec, kwargs: dict[str, Any]) -> gymnasium.Env:
    if plan.render:
        kwargs.setdefault("render_mode", "rgb_array")
    return gymnasium.make(
        plan.origin.name,
        max_episode_steps=plan.horizon or None,
        disable_env_checker=True,
        **kwargs,
    )


@functools.cache
def _register_robotics() -> None:
    # It prints announcements when it is imported.
    with contextlib.suppress(ImportError), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module("gymnasium_robotics")


def _takes(maker: Any, parameter: str) -> bool:
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return False
    kinds = {p.kind for p in parameters.values()}
    return parameter in parameters or inspect.Parameter.VAR_KEYWORD in kinds
