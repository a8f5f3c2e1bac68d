"""The adapter: any Gymnasium goal environment as an environment of hem.

The registry calls ``find(name)``. The result has ``NAME``, ``Config`` and ``make``, like the module
of one of hem's own environments, so the rest of hem treats both alike.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hem.envs.adapters import env_id
from hem.envs.adapters.arguments import read_kwargs, write_kwargs
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.isolated import Beat
from hem.envs.adapters.probe import EnvInfo, examine, look
from hem.envs.adapters.simulation import batched_env
from hem.envs.spaces.forms import Forms
from hem.errors import UserError, require
from hem.system import validation
from hem.system.subprocesses import can_launch, usable_cores
from hem.types import BatchedEnv, Box, Discrete, Spaces, Task


@dataclass(frozen=True)
class Config:
    horizon: int = 0
    """Maximum steps per episode; 0 for the environment's registered limit."""
    terminates_on_success: bool = True
    """End the episode when the goal is reached, even if the environment would continue."""
    threshold: float | None = None
    """Distance from achieved to desired goal that counts as success; by default inferred."""
    success: str = ""
    """Success function FILE.py:FUNCTION: (achieved[*, G], goal[*, G]), NumPy or JAX, -> bool[*]."""
    slots: int = 16
    """Maximum number of concurrent episodes, each in its own environment."""
    env_workers: int = -1
    """Processes that step them; -1 for one per available core (none on Windows), 0 for none."""
    patience: float = 300.0
    """Seconds that a step or a reset may take before its process is restarted."""
    env_kwargs: tuple[str, ...] = field(default=(), metadata={"also": dict})
    """Constructor arguments as name=value, with values as in JSON: continuing_task=false."""

    def __post_init__(self) -> None:
        require(self.horizon >= 0, f"horizon must be at least 1, or 0, not {self.horizon}")
        validation.sizes(self, "slots")
        validation.at_least(-1, self, "env_workers")
        validation.positive(self, "patience")
        if self.threshold is not None:
            validation.positive(self, "threshold")
        require(
            self.threshold is None or not self.success,
            "give --threshold or --success, not both",
        )
        if isinstance(self.env_kwargs, dict):  # from Python, where a dict is natural
            object.__setattr__(self, "env_kwargs", write_kwargs(self.env_kwargs))
        read_kwargs(self.env_kwargs)
        if self.success:  # so that the run can be resumed from any folder
            object.__setattr__(self, "success", _absolute(self.success))

    @property
    def in_processes(self) -> bool:
        """Whether environments run in processes of their own."""
        return self.env_workers > 0 or (self.env_workers < 0 and can_launch())


@dataclass(frozen=True)
class EnvAdapter:
    """A third-party environment, with the interface of one of hem's environment modules."""

    origin: EnvId

    Config = Config

    @property
    def NAME(self) -> str:
        """The name that identifies it anywhere on this machine."""
        return self.origin.full

    @property
    def summary(self) -> str:
        """The first line of ``hem train ENV --help``."""
        where = {
            "file": f"the environment {self.origin.name} from {self.origin.place}",
            "gymnasium": f"the environment {self.origin.full}",
            "envpool": f"{self.origin.name} from EnvPool",
            "object": f"the environment {self.origin.name}",
        }[self.origin.kind]
        return f"Train on {where}. `hem check {shlex.quote(self.origin.short)}` checks it."

    def code_named(self, config: Config) -> str | None:
        """The third-party code that ``make`` would run; None if none."""
        return env_id.code_named(self.origin, config.success, config.env_kwargs)

    def make(self, config: Config) -> BatchedEnv:
        """The environment.

        Raises:
            UserError: it cannot be used; the message says what is missing.
            EnvError: the environment's code failed.
        """
        return _make(self.origin, config, render=False)

    def film(self, config: Config) -> BatchedEnv:
        """The environment in one process, with rendering enabled."""
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            os.environ.setdefault("MUJOCO_GL", "egl")  # otherwise Gymnasium needs a display
        return _make(self.origin, config, render=True)

    @contextmanager
    def examined(self, config: Config, beat: Beat) -> Iterator[EnvInfo]:
        """What hem finds out about it in this process, before running episodes."""
        yield from examine(*_question(self.origin, config), beat)


def find(name: str) -> EnvAdapter | None:
    """The environment that a name stands for, if it is not one of hem's own; None if none.

    The environment's code is not run.

    Raises:
        UserError: its file does not exist.
    """
    origin = env_id.parse(name)
    return None if origin is None else EnvAdapter(origin)


def horizon_of(origin: EnvId, config: Config, env_info: EnvInfo) -> int:
    """The maximum number of steps per episode.

    Raises:
        UserError: it is not defined anywhere.
    """
    horizon = config.horizon or env_info.horizon
    require(
        horizon > 0,
        f"{origin.short} does not define a maximum episode length: give --horizon STEPS",
    )
    return horizon


def _make(origin: EnvId, config: Config, render: bool) -> BatchedEnv:
    in_processes = _in_processes(origin, config)
    env_info = look(*_question(origin, config), config.patience if in_processes else None)
    if env_info.rows and origin.kind != "envpool":
        whose = f"with {origin.short}, which always runs {env_info.rows} episodes at once"
        validation.unused(whose, config, "slots")
    task = _task(origin, config, env_info)
    threads = config.env_workers if config.env_workers > 0 else usable_cores()
    slots = 1 if origin.is_instance else config.slots
    plan = EnvSpec(origin, config.env_kwargs, config.horizon, render, slots, threads)
    several = 1 if env_info.rows or render else threads  # a vector environment cannot be split
    workers = several if in_processes else 0
    return batched_env(task, plan, env_info, workers, config.patience)


def _in_processes(origin: EnvId, config: Config) -> bool:
    """Whether environments run in processes of their own: those that can be sent there.

    Raises:
        UserError: processes were requested for one that has been made here.
    """
    if origin.is_instance:
        where = "with an environment that is made already"
        require(config.env_workers <= 0, f"env-workers must be 0 {where}: give its class instead")
        validation.unused(where, config, "slots", "env_kwargs")
        return False
    is_sent = origin.given is None or config.env_workers > 0 or origin.given.can_be_sent
    return config.in_processes and is_sent


def _question(origin: EnvId, config: Config) -> tuple[EnvSpec, float | None, str]:
    """The arguments for probing an environment."""
    return EnvSpec(origin, config.env_kwargs, config.horizon), config.threshold, config.success


def _task(origin: EnvId, config: Config, env_info: EnvInfo) -> Task:
    forms = env_info.forms
    return Task(
        name=origin.short,
        obs_shape=forms.obs.shape,
        obs_dtype=forms.obs.dtype,
        goal_shape=forms.goal.shape,
        goal_dtype=forms.goal.dtype,
        action=_action(forms),
        horizon=horizon_of(origin, config, env_info),
        success=env_info.verdict.success,
        terminates_on_success=config.terminates_on_success,
        version_hash=env_info.version,
        spaces=Spaces(forms.obs.space, forms.goal.space, forms.action.space),
        achieved_at=tuple(range(*forms.goal.shape)) if forms.obs.parts else (),
    )


def _action(forms: Forms) -> Discrete | Box:
    action = forms.action
    return Discrete(action.n) if action.n else Box(action.low, action.high)


def _absolute(spec: str) -> str:
    """A success function's name that is valid in any folder."""
    found = re.fullmatch(r"(.+\.py):(\w+)", spec)
    if not found:
        raise UserError(f"success must be FILE.py:FUNCTION, not {spec!r}")
    return f"{env_id.existing(found[1])}:{found[2]}"
