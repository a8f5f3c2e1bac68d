"""The door: a world of hem for any Gymnasium goal environment.

``find(name)`` is what the registry asks. What it returns has ``NAME``, ``Config`` and ``make``, as
the file of one of hem's own worlds has, so nothing else need know the difference.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hem.envs.adapters import env_id
from hem.envs.adapters.arguments import read_kwargs, write_kwargs
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.isolated import Beat
from hem.envs.adapters.probe import EnvInfo, examine, look
from hem.envs.adapters.simulation import simulator
from hem.envs.spaces.codec import Forms
from hem.errors import UserError, require
from hem.system import validation
from hem.system.subprocesses import can_launch, usable_cores
from hem.types import Box, Discrete, Simulator, Spaces, Task


@dataclass(frozen=True)
class Config:
    horizon: int = 0
    """Most steps in an episode; 0 for what the environment is registered with."""
    terminates_on_success: bool = True
    """End the episode where the goal is reached, even if the environment would go on."""
    threshold: float | None = None
    """Distance from achieved to desired goal that counts as success; else found by trying."""
    success: str = ""
    """Success as FILE.py:FUNCTION, of (achieved[*, G], goal[*, G]), NumPy or JAX, -> bool[*]."""
    slots: int = 16
    """Most episodes that run at once, each in an environment of its own."""
    workers: int = -1
    """Processes that step them; -1 for one per usable core (on Windows none), 0 for none."""
    patience: float = 300.0
    """Seconds that a step or a reset may take before its process is started again."""
    env_kwargs: tuple[str, ...] = field(default=(), metadata={"also": dict})
    """Arguments of the constructor as name=value, a value as in JSON: continuing_task=false."""

    def __post_init__(self) -> None:
        require(self.horizon >= 0, f"horizon must be at least 1, or 0, not {self.horizon}")
        validation.sizes(self, "slots")
        validation.at_least(-1, self, "workers")
        validation.positive(self, "patience")
        if self.threshold is not None:
            validation.positive(self, "threshold")
        require(
            self.threshold is None or not self.success,
            "give --threshold or --success, not both",
        )
        if isinstance(self.env_kwargs, dict):  # from a program, where that is the natural way
            object.__setattr__(self, "env_kwargs", write_kwargs(self.env_kwargs))
        read_kwargs(self.env_kwargs)
        if self.success:  # from wherever the run is gone on with
            object.__setattr__(self, "success", _absolute(self.success))

    @property
    def in_processes(self) -> bool:
        """Whether environments run in processes of their own."""
        return self.workers > 0 or (self.workers < 0 and can_launch())


@dataclass(frozen=True)
class EnvAdapter:
    """An environment that is not hem's own, as one of hem's files would describe it."""

    origin: EnvId

    Config = Config

    @property
    def NAME(self) -> str:
        """The name that stands for it anywhere on this machine."""
        return self.origin.full

    @property
    def summary(self) -> str:
        """What ``hem train ENV --help`` says first."""
        where = {
            "file": f"the environment {self.origin.name} in {self.origin.place}",
            "gymnasium": f"the environment {self.origin.full}",
            "envpool": f"{self.origin.name} of EnvPool",
        }[self.origin.kind]
        return f"Train in {where}. `hem check {self.origin.short}` examines it."

    def code_named(self, config: Config) -> str | None:
        """What code of somebody's choosing ``make`` would run; None if none."""
        return env_id.code_named(self.origin, config.success, config.env_kwargs)

    def make(self, config: Config) -> Simulator:
        """The world.

        Raises:
            UserError: it cannot be used; the line says what is missing.
            WorldError: its author's code failed.
        """
        return _make(self.origin, config, render=False)

    def film(self, config: Config) -> Simulator:
        """The world in one process, where it can draw itself."""
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            os.environ.setdefault("MUJOCO_GL", "egl")  # else Gymnasium's renderer wants a screen
        return _make(self.origin, config, render=True)

    @contextmanager
    def examined(self, config: Config, beat: Beat) -> Iterator[EnvInfo]:
        """What hem finds out of it in this process, before it runs an episode."""
        yield from examine(*_question(self.origin, config), beat)


def find(name: str) -> EnvAdapter | None:
    """What stands behind a name that is none of hem's own; None if nothing does.

    No code of the environment's is run.

    Raises:
        UserError: a file that is not there.
    """
    origin = env_id.parse(name)
    return None if origin is None else EnvAdapter(origin)


def horizon_of(origin: EnvId, config: Config, survey: EnvInfo) -> int:
    """Steps in an episode.

    Raises:
        UserError: nobody says how many.
    """
    horizon = config.horizon or survey.horizon
    require(
        horizon > 0,
        f"{origin.short} does not say how long an episode may be: give --horizon STEPS",
    )
    return horizon


def _make(origin: EnvId, config: Config, render: bool) -> Simulator:
    survey = look(*_question(origin, config), config.patience if config.in_processes else None)
    if survey.rows and origin.kind != "envpool":
        whose = f"where {origin.short} has {survey.rows} episodes at once"
        validation.unused(whose, config, "slots")
    task = _task(origin, config, survey)
    threads = config.workers if config.workers > 0 else usable_cores()
    plan = EnvSpec(origin, config.env_kwargs, config.horizon, render, config.slots, threads)
    several = 1 if survey.rows or render else threads  # a vector environment is in one piece
    workers = several if config.in_processes else 0
    return simulator(task, plan, survey, workers, config.patience)


def _question(origin: EnvId, config: Config) -> tuple[EnvSpec, float | None, str]:
    """What a survey answers."""
    return EnvSpec(origin, config.env_kwargs, config.horizon), config.threshold, config.success


def _task(origin: EnvId, config: Config, survey: EnvInfo) -> Task:
    forms = survey.forms
    return Task(
        name=origin.short,
        obs_shape=forms.obs.shape,
        obs_dtype=forms.obs.dtype,
        goal_shape=forms.goal.shape,
        goal_dtype=forms.goal.dtype,
        action=_action(forms),
        horizon=horizon_of(origin, config, survey),
        success=survey.verdict.success,
        terminates_on_success=config.terminates_on_success,
        version_hash=survey.version,
        spaces=Spaces(forms.obs.space, forms.goal.space, forms.action.space),
    )


def _action(forms: Forms) -> Discrete | Box:
    action = forms.action
    return Discrete(action.n) if action.n else Box(action.low, action.high)


def _absolute(spec: str) -> str:
    """A success function's name that holds in any folder."""
    found = re.fullmatch(r"(.+\.py):(\w+)", spec)
    if not found:
        raise UserError(f"success must be FILE.py:FUNCTION, not {spec!r}")
    return f"{env_id.existing(found[1])}:{found[2]}"
