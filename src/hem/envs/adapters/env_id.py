"""Names of environments that are not hem's own, and how to make them.

| a name | what is made |
|---|---|
| ``my_env.py:MyEnv`` | what a class or function in a file returns |
| ``PointMaze_UMaze-v3`` | what is registered with Gymnasium; Gymnasium-Robotics is too |
| ``module:Id-v0`` | the same, once that module was imported |
| ``module:MyEnv`` | what a class or function in that module returns |
| ``envpool:FetchPush-v4`` | a task of EnvPool |

Nothing is imported for a name alone: only ``construct`` runs code that a name stands for. Worker
processes use this too, so there is no JAX here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
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
from hem.envs.adapters.user_module import digest, imported, load_file, located, member
from hem.errors import UserError, require
from hem.system.parsing import AbsentError

HINT = (
    "any Gymnasium goal environment works too: a file's class as my_env.py:MyEnv, an id such as "
    "PointMaze_UMaze-v3, or module:Id-v0 or module:MyEnv of a module that Python finds"
)


class EnvId(NamedTuple):
    """Where an environment comes from."""

    kind: str  # "file", "gymnasium" or "envpool"
    place: str  # the file's absolute path, the module to import, or nothing
    name: str  # the class, the function or the id; of a module, whichever it has

    @property
    def full(self) -> str:
        """The name that stands for it anywhere on this machine."""
        prefix = "envpool" if self.kind == "envpool" else self.place
        return f"{prefix}:{self.name}" if prefix else self.name

    @property
    def short(self) -> str:
        """The name for people, without a file's folder."""
        return f"{Path(self.place).name}:{self.name}" if self.kind == "file" else self.full

    @property
    def code(self) -> str | None:
        """What somebody chose to have run: a file or a module; None for what is installed."""
        return self.full if self.place else None


class EnvSpec(NamedTuple):
    """What to make. Plain data, so that it can be sent to another process, and compared."""

    origin: EnvId
    kwargs: tuple[str, ...]  # of the constructor, as name=value
    horizon: int  # steps in an episode; 0 for what is registered
    render: bool = False  # whether it will have to draw
    slots: int = 1  # environments in an EnvPool
    threads: int = 1  # of an EnvPool
    registered: bytes = b""  # what the id stands for, where another process may not know it


def parse(name: str) -> EnvId | None:
    """What a name stands for; None if it has no form of ours and is not registered.

    Raises:
        AbsentError: a file that is not there.
        UserError: a name that is incomplete.
    """
    if found := re.fullmatch(r"envpool:(.+)", name):
        return EnvId("envpool", "", found[1])
    if found := re.fullmatch(r"(.+\.py)(?::(\w*))?", name):
        file = existing(found[1])
        require(
            bool(found[2]),
            f"{name} is a file: name the class or function in it too, as in {file.name}:MyEnv",
        )
        return EnvId("file", str(file), found[2])
    if found := re.fullmatch(r"([A-Za-z_][\w.]*):([\w/.-]+)", name):
        return EnvId("gymnasium", found[1], found[2])
    return EnvId("gymnasium", "", name) if name in registered() else None


def existing(path: str) -> Path:
    """A file, as it is named in any folder.

    Raises:
        AbsentError: it is not there.
    """
    if not (file := located(path)).is_file():
        raise AbsentError(f"there is no file {file}")
    return file


def registered() -> Iterable[str]:
    """Every id that Gymnasium knows, those of Gymnasium-Robotics included."""
    _register_robotics()
    return gymnasium.registry.keys()


def code_named(origin: EnvId, success: str, env_kwargs: Iterable[str]) -> str | None:
    """Say what code of whose choosing a configuration would run; None if it names none.

    Files and modules are code. So may be a text given to a constructor: it can name another.
    """
    texts = filter(has_text, env_kwargs)
    return success or origin.code or next((f"{origin.full} with {text}" for text in texts), None)


def sendable(plan: EnvSpec) -> EnvSpec:
    """The plan for another process, with what this one has registered.

    Raises:
        UserError: that cannot be sent.
    """
    by_id = plan.origin.kind == "gymnasium" and not plan.origin.place
    return plan._replace(registered=pack(plan.origin.name) if by_id else b"")


def construct(plan: EnvSpec) -> Any:
    """Make the environment: whatever its author's code does, or raises.

    Raises:
        UserError: the name stands for nothing.
    """
    origin, kwargs = plan.origin, read_kwargs(plan.kwargs)
    if origin.kind == "envpool":
        raise AssertionError("an EnvPool is made by vector.py")
    if origin.kind == "gymnasium":
        _register_robotics()
        take_over(origin.name, plan.registered)
        module = imported(origin.place) if origin.place else None
        if origin.name in gymnasium.registry:
            return _registered(plan, kwargs)
        if module is None or not origin.name.isidentifier():
            even = f", even by {origin.place}" if module else ""
            raise UserError(f"no environment {origin.name!r} is registered with Gymnasium{even}")
    else:
        module = load_file(origin.place)
    maker = member(module, origin.name)
    if plan.render and _takes(maker, "render_mode"):
        kwargs.setdefault("render_mode", "rgb_array")
    return maker(**kwargs)


def version_of(plan: EnvSpec) -> str:
    """What changes when the environment does: a package's version or a file's content."""
    origin, given = plan.origin, " ".join(sorted(plan.kwargs))
    if origin.kind == "file":
        return f"{origin.name} in file {digest(origin.place)} {given}".strip()
    if origin.kind == "envpool":
        return f"{origin.name} in envpool {importlib.metadata.version('envpool')} {given}".strip()
    module = origin.place
    if origin.name in gymnasium.registry:
        entry = gymnasium.registry[origin.name].entry_point
        by_name = entry.partition(":")[0] if isinstance(entry, str) else None
        module = by_name or getattr(entry, "__module__", "")
    parts = [_release(module)]
    if "mujoco" in sys.modules and not parts[0].startswith("mujoco "):
        parts.append(_release("mujoco"))  # its physics changes between versions
    return f"{origin.name} in {', '.join(parts)} {given}".strip()


def _release(module: str) -> str:
    """An installed package with its version, or a module by its file."""
    names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    if names:
        return f"{names[0]} {importlib.metadata.version(names[0])}"
    file = getattr(sys.modules.get(module), "__file__", None)
    # In a worker process, the main module is another.
    return f"{module} {digest(file)}" if file and module != "__main__" else module


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
    # It prints news about other environments when it is imported.
    with contextlib.suppress(ImportError), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module("gymnasium_robotics")


def _takes(maker: Any, parameter: str) -> bool:
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return False
    kinds = {p.kind for p in parameters.values()}
    return parameter in parameters or inspect.Parameter.VAR_KEYWORD in kinds
