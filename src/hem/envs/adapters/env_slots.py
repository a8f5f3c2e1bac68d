"""Environments in slots, each running one episode at a time, without automatic resets.

``EnvSlots`` resets slots, each with its seed, and steps the requested ones. It returns values in
hem's form. No JAX here: worker processes use it too.
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
from hem.envs.spaces.batches import MismatchError
from hem.envs.spaces.codec import alike, encode, is_goal_observation, to_environment, value_of
from hem.envs.spaces.forms import Form, Forms, forms_of
from hem.errors import UserError

NO_DICT = "an observation must be a dict with observation, achieved_goal and desired_goal"


class StepResult(NamedTuple):
    """What the environments in n slots returned."""

    obs: np.ndarray  # [n, *O]
    achieved: np.ndarray  # [n, *G]
    goal: np.ndarray  # [n, *G]
    terminated: np.ndarray  # bool[n]  as reported by the environment
    truncated: np.ndarray  # bool[n]
    lost: np.ndarray  # bool[n]  the environment's process died or hung
    reward: np.ndarray  # f64[n]  NaN if it is not a number, and at reset
    said: np.ndarray  # i8[n]  success according to info: reported_success.YES, NO or UNSAID


class EnvSlots(Protocol):
    """Several environments."""

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        """Begin an episode in each of these slots; episodes in other slots are abandoned."""
        ...

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        """Take a step in each of these slots."""
        ...

    def render(self, slot: int) -> Any:
        """The return value of the environment's own ``render``."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


class InProcessEnvs:
    """Environments in this process, one per slot, made when first needed.

    Errors in environments become a one-line ``EnvError``: where, when, what, and what to do.
    """

    def __init__(self, plan: EnvSpec, first: gymnasium.Env | None = None) -> None:
        """Prepare the slots.

        Args:
            plan: what to make.
            first: an environment that was already made.
        """
        self.plan = plan
        self.env = make(plan) if first is None else first
        self.forms = checked_forms(plan, self.env)
        self.info: dict[str, Any] = {}  # from the latest step
        self._spare: gymnasium.Env | None = self.env
        self._envs: dict[int, gymnasium.Env] = {}
        self._seeds: dict[int, int] = {}
        self._timesteps: dict[int, int] = {}
        self._goals: dict[int, np.ndarray] = {}  # of the current episodes

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        rows = []
        for slot, seed in zip(slots, seeds, strict=True):
            env = self._env(slot)
            self._seeds[slot], self._timesteps[slot] = seed, 0
            when = f"in reset(seed={seed})"
            with self._reporting(when):
                obs, self.info = protocol.of_reset(env.reset(seed=seed))
            parts = self._encoded(obs, when)
            self._goals[slot] = parts[2]
            rows.append((*parts, False, False, np.nan, reported_success.UNSAID))
        return stack(rows)

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        rows = []
        for slot, action in zip(slots, actions, strict=True):
            self._timesteps[slot] += 1
            when = f"in step {self._timesteps[slot]} after reset(seed={self._seeds[slot]})"
            with self._reporting(when):
                obs, reward, terminated, truncated, self.info = protocol.of_step(
                    self._envs[slot].step(to_environment(self.forms.action, action))
                )
            parts, said = self._encoded(obs, when), reported_success.of_info(self.info)
            check_goal(self.plan, self._goals[slot], parts[2], when)
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
        if self.plan.origin.is_instance:
            return
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
                self.plan.origin, "in its constructor", "its spaces differ between instances"
            )
        return env

    def _encoded(self, obs: Any, when: str) -> tuple[np.ndarray, ...]:
        return encoded(self.plan, self.forms, obs, when)

    def _reporting(self, when: str) -> AbstractContextManager:
        return env_errors.attributed_to(self.plan.origin, when)


def make(plan: EnvSpec) -> Any:
    """Make the environment, or explain in one line why that failed.

    Raises:
        UserError: there is no environment of that name.
        EnvError: the environment's code raised an error.
    """
    try:
        with warnings.catch_warnings():
            # An asynchronous vector environment forks; the forked processes do not run JAX.
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
            f"{plan.origin.short} returned {type(env).__name__}, which is not a gymnasium.Env: "
            "derive it from gymnasium.Env, or name a function that returns one"
        )
    return env


def checked_forms(plan: EnvSpec, env: Any) -> Forms:
    """The forms of an environment's spaces.

    Raises:
        UserError: it is not a goal environment that hem supports.
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


def encoded(plan: EnvSpec, forms: Forms, obs: Any, when: str) -> tuple[np.ndarray, ...]:
    """Encode the observation, achieved goal and desired goal that an environment returned.

    Raises:
        EnvError: a value does not match its space, or is not finite.
    """
    if not is_goal_observation(obs):
        raise env_errors.unfit(plan.origin, when, NO_DICT)
    try:
        desired: Form = forms.goal._replace(what="desired_goal")
        return (
            encode(forms.obs, value_of(forms.obs, obs)),
            encode(forms.goal, obs["achieved_goal"]),
            encode(desired, obs["desired_goal"]),
        )
    except MismatchError as error:
        raise env_errors.unfit(plan.origin, when, str(error)) from error


def check_goal(plan: EnvSpec, first: np.ndarray, now: np.ndarray, when: str) -> None:
    """Reject a desired goal that differs from the one that reset returned.

    Raises:
        EnvError: it differs.
    """
    if not alike(first, now):
        raise env_errors.unfit(
            plan.origin,
            when,
            f"the goal changes mid-episode, from {env_errors.shown(first)} to "
            f"{env_errors.shown(now)}, but hem's policies are conditioned on the one that reset "
            "returned: end the episode instead",
        )


def stack(rows: list[tuple]) -> StepResult:
    """Stack n rows (obs, achieved, goal, terminated, truncated, reward, said)."""
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
