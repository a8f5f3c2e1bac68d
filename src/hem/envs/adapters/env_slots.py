"""Where episodes are run: environments in slots, stepped on command, never reset by themselves.

A stage resets its slots with a seed each, and steps those it is asked to. What it returns is hem's
form of an environment's values. No JAX here: worker processes have stages too.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from hem.envs.adapters import env_errors, env_id, protocol, reported_success
from hem.envs.adapters.env_id import EnvSpec
from hem.envs.spaces.codec import (
    Form,
    Forms,
    MismatchError,
    alike,
    encode,
    forms_of,
    is_goal_observation,
    to_environment,
)
from hem.errors import UserError

NO_DICT = "an observation must be a dict with observation, achieved_goal and desired_goal"


class StepResult(NamedTuple):
    """What the environments in n slots returned."""

    obs: np.ndarray  # [n, *O]
    achieved: np.ndarray  # [n, *G]
    goal: np.ndarray  # [n, *G]
    terminated: np.ndarray  # bool[n]  as the environment said
    truncated: np.ndarray  # bool[n]
    lost: np.ndarray  # bool[n]  the process of the environment died or hung
    reward: np.ndarray  # f64[n]  NaN where it is no number, and at reset
    said: np.ndarray  # i8[n]  of success by info: word.YES, NO or UNSAID


class EnvSlots(Protocol):
    """Several environments."""

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        """Begin an episode in each of these slots, and give up those that ran in others."""
        ...

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        """Take a step in each of these slots."""
        ...

    def render(self, slot: int) -> Any:
        """Whatever the environment's own ``render`` returns."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class InProcessEnvs:
    """Environments of this process, one in each slot, made when first needed.

    Errors that are not one's own are one line (``WorldError``): where, when, what and what to do.
    """

    def __init__(self, plan: EnvSpec, first: gymnasium.Env | None = None) -> None:
        """Prepare the stage.

        Args:
            plan: what to make.
            first: one that is made already.
        """
        self.plan = plan
        self.env = make(plan) if first is None else first
        self.forms = checked_forms(plan, self.env)
        self.info: dict[str, Any] = {}  # of the latest step
        self._spare: gymnasium.Env | None = self.env
        self._envs: dict[int, gymnasium.Env] = {}
        self._seeds: dict[int, int] = {}
        self._moments: dict[int, int] = {}
        self._goals: dict[int, np.ndarray] = {}  # of the episodes that run

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        rows = []
        for slot, seed in zip(slots, seeds, strict=True):
            env = self._env(slot)
            self._seeds[slot], self._moments[slot] = seed, 0
            moment = f"in reset(seed={seed})"
            with self._reporting(moment):
                obs, self.info = protocol.of_reset(env.reset(seed=seed))
            parts = self._encoded(obs, moment)
            self._goals[slot] = parts[2]
            rows.append((*parts, False, False, np.nan, reported_success.UNSAID))
        return stack(rows)

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        rows = []
        for slot, action in zip(slots, actions, strict=True):
            self._moments[slot] += 1
            moment = f"in step {self._moments[slot]} after reset(seed={self._seeds[slot]})"
            with self._reporting(moment):
                obs, reward, terminated, truncated, self.info = protocol.of_step(
                    self._envs[slot].step(to_environment(self.forms.action, action))
                )
            parts, said = self._encoded(obs, moment), reported_success.of_info(self.info)
            check_goal(self.plan, self._goals[slot], parts[2], moment)
            rows.append((*parts, terminated, truncated, reported_success.number(reward), said))
        return stack(rows)

    def render(self, slot: int) -> Any:
        try:
            return self._envs[slot].render()
        except NotImplementedError:
            return None
        except (Exception, SystemExit) as error:
            raise env_errors.failed(self.plan.origin, "in render()", error) from error

    def close(self) -> None:
        for env in {id(env): env for env in (self.env, *self._envs.values())}.values():
            with contextlib.suppress(Exception, SystemExit):
                env.close()

    def _env(self, slot: int) -> gymnasium.Env:
        if slot not in self._envs:
            self._envs[slot] = self._spare or self._another()
            self._spare = None
        return self._envs[slot]

    def _another(self) -> gymnasium.Env:
        env = make(self.plan)
        forms = checked_forms(self.plan, env)
        if [form.shape for form in forms[:2]] != [form.shape for form in self.forms[:2]]:
            raise env_errors.unfit(
                self.plan.origin, "in its constructor", "its spaces differ from one to the next"
            )
        return env

    def _encoded(self, obs: Any, moment: str) -> tuple[np.ndarray, ...]:
        return encoded(self.plan, self.forms, obs, moment)

    def _reporting(self, moment: str) -> AbstractContextManager:
        return env_errors.attributed_to(self.plan.origin, moment)


def make(plan: EnvSpec) -> Any:
    """Make the environment, or say in a line why that failed.

    Raises:
        UserError: the name stands for nothing.
        WorldError: the author's code raised an error.
    """
    try:
        with warnings.catch_warnings():
            # An asynchronous vector environment forks; what it forks runs no JAX.
            warnings.filterwarnings("ignore", ".*fork", RuntimeWarning)
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            env = env_id.construct(plan)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise env_errors.failed(plan.origin, "in its constructor", error) from error
    kinds = (gymnasium.Env, gymnasium.vector.VectorEnv)
    if not isinstance(env, kinds):
        raise UserError(
            f"{plan.origin.short} made {type(env).__name__}, which is no gymnasium.Env: derive it "
            "from gymnasium.Env, or name a function that returns one"
        )
    return env


def checked_forms(plan: EnvSpec, env: Any) -> Forms:
    """The forms of an environment's spaces.

    Raises:
        UserError: it is no goal environment that hem can act in.
    """
    vector = isinstance(env, gymnasium.vector.VectorEnv)
    seen, acted = (
        (env.single_observation_space, env.single_action_space)
        if vector
        else (env.observation_space, env.action_space)
    )
    try:
        return forms_of(seen, acted)
    except UserError as error:
        raise UserError(f"{plan.origin.short} cannot be used: {error}") from error


def encoded(plan: EnvSpec, forms: Forms, obs: Any, moment: str) -> tuple[np.ndarray, ...]:
    """Observation, achieved and desired goal of what one environment returned.

    Raises:
        WorldError: it is not what its spaces say, or not finite.
    """
    if not is_goal_observation(obs):
        raise env_errors.unfit(plan.origin, moment, NO_DICT)
    try:
        desired: Form = forms.goal._replace(what="desired_goal")
        return (
            encode(forms.obs, obs["observation"]),
            encode(forms.goal, obs["achieved_goal"]),
            encode(desired, obs["desired_goal"]),
        )
    except MismatchError as error:
        raise env_errors.unfit(plan.origin, moment, str(error)) from error


def check_goal(plan: EnvSpec, first: np.ndarray, now: np.ndarray, moment: str) -> None:
    """Refuse a desired goal that is no longer the one that reset returned.

    Raises:
        WorldError: it is another.
    """
    if not alike(first, now):
        raise env_errors.unfit(
            plan.origin,
            moment,
            f"the goal changes in mid-episode, from {env_errors.shown(first)} to "
            f"{env_errors.shown(now)}, but hem's policies are told the one that reset returned: "
            "end the episode instead",
        )


def stack(rows: list[tuple]) -> StepResult:
    """Frames of n rows (obs, achieved, goal, terminated, truncated, reward, said)."""
    obs, achieved, goal, terminated, truncated, reward, said = zip(*rows, strict=True)
    return StepResult(
        np.stack(obs),
        np.stack(achieved),
        np.stack(goal),
        np.array(terminated),
        np.array(truncated),
        np.zeros(len(rows), bool),
        np.array(reward, np.float64),
        np.array(said, np.int8),
    )
