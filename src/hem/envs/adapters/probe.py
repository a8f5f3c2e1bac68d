"""A look at an environment before episodes are run: its spaces, its horizon, its success."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv

from hem.envs.adapters import env_errors, env_id, isolated, success, user_module
from hem.envs.adapters.agreement import Agreement
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.env_slots import InProcessEnvs, StepResult
from hem.envs.adapters.isolated import Beat, still
from hem.envs.adapters.open_slots import make_env_slots
from hem.envs.adapters.success import GoalSamples, Reward, Success, SuccessFn
from hem.envs.adapters.vector_env import VectorEnv
from hem.envs.spaces.codec import Forms, random_action
from hem.errors import UserError

EPISODES, STEPS = 4, 25  # of the random episodes in which goals are met
Met = Literal["reset", "step"]


class EnvInfo(NamedTuple):
    """What hem has to know of an environment."""

    forms: Forms
    horizon: int  # 0 where none is registered
    rows: int  # of a vector environment; 0 for a single one
    verdict: SuccessFn
    version: str


def look(
    plan: EnvSpec, threshold: float | None, spec: str, patience: float | None = None
) -> EnvInfo:
    """Look at an environment, once for equal arguments, unchanged files and registrations.

    Args:
        plan: what to make.
        threshold: of the distance at which a goal is achieved, if the user gives one.
        spec: a success function as ``file.py:function``, or nothing.
        patience: seconds that whatever its code does may take, in a process of its own; None to
            look at it in this one.

    Raises:
        UserError: it cannot be used, or does not say when a goal is achieved.
        WorldError: its author's code failed.
    """
    places = (plan.origin.place, spec.rpartition(":")[0])
    contents = tuple(user_module.digest(place) for place in places if place.endswith(".py"))
    try:
        plan = env_id.sendable(plan)
    except UserError:
        if patience is not None:  # it has to be sent
            raise
    return _look(plan, threshold, spec, contents, patience)


def registered_horizon(env: Any) -> int:
    """The most steps in an episode that something about the environment says; 0 if nothing does."""
    if isinstance(getattr(env, "config", None), dict):
        return int(env.config.get("max_episode_steps") or 0)  # an EnvPool
    env = env.envs[0] if getattr(env, "envs", None) else env
    while env is not None:
        for owner, name in (
            (env, "_max_episode_steps"),
            (env, "max_episode_steps"),
            (getattr(env, "spec", None), "max_episode_steps"),
        ):
            value = getattr(owner, name, None)
            if isinstance(value, (int, np.integer)) and value > 0:
                return int(value)
        env = getattr(env, "env", None)
    return 0


def judge_of(
    origin: EnvId, stage: InProcessEnvs | VectorEnv
) -> tuple[Any, Callable[..., Any] | None]:
    """The object that may know a threshold, and ``compute_reward`` if there is one."""
    if origin.kind == "envpool":
        if origin.name not in env_id.registered():
            return None, None
        same = EnvId("gymnasium", "", origin.name)
        return judge_of(same, InProcessEnvs(EnvSpec(same, (), 0)))
    env: Any = stage.env
    if isinstance(stage, VectorEnv):
        env = env.unwrapped
        if hasattr(env, "compute_reward"):
            return env, env.compute_reward
        if isinstance(env, AsyncVectorEnv):
            return env, _call(env)
        if not getattr(env, "envs", None):
            return env, None
        env = env.envs[0]
    has = env.has_wrapper_attr("compute_reward")
    return env.unwrapped, env.get_wrapper_attr("compute_reward") if has else None


def _call(env: AsyncVectorEnv) -> Callable[..., Any] | None:
    """``compute_reward`` of the environments in an asynchronous vector environment."""
    if not all(env.call("has_wrapper_attr", "compute_reward")):
        return None
    return lambda *goals: env.call("compute_reward", *goals)[0]


def meet(
    stage: InProcessEnvs | VectorEnv, beat: Beat
) -> Iterator[tuple[Met, list[int], StepResult]]:
    """A few short random episodes, the same ones each time: resets and steps, of which slots."""
    rng = np.random.default_rng(0)
    slots = [0] if isinstance(stage, InProcessEnvs) else list(range(min(stage.size, EPISODES)))
    for episode in range(0, EPISODES, len(slots)):
        running = slots
        share, seed = episode / EPISODES, f"reset(seed={episode})"
        beat(share, f"in {seed}")
        frames = stage.reset(running, [episode + slot for slot in running])
        yield "reset", running, frames
        for t in range(1, STEPS + 1):
            ended = frames.terminated | frames.truncated
            running = [s for s, over in zip(running, ended, strict=True) if not over]
            if not running:
                break
            actions = np.stack([random_action(stage.forms.action, rng) for _ in running])
            beat(share, f"in step {t} after {seed}")
            frames = stage.step(running, actions)
            yield "step", running, frames


def examine(plan: EnvSpec, threshold: float | None, spec: str, beat: Beat) -> Iterator[EnvInfo]:
    """Look at an environment in this process, and yield what ``look`` returns, then let go of it.

    Raises:
        UserError: as ``look`` does.
    """
    beat(0.0, "in its constructor")
    stage = make_env_slots(plan)
    try:
        with env_errors.attributed_to(plan.origin, "while it was looked at"):
            verdict = _verdict(plan.origin, stage, threshold, spec, beat)
            rows = stage.size if isinstance(stage, VectorEnv) else 0
            horizon = registered_horizon(stage.env)
            version = env_id.version_of(plan)
        yield EnvInfo(stage.forms, horizon, rows, verdict, version)
    finally:
        stage.close()


def examine_for_another(*arguments: Any) -> Iterator[EnvInfo]:
    """The same for another process, to which no success function can be sent."""
    with contextmanager(examine)(*arguments) as survey:
        yield survey._replace(verdict=survey.verdict._replace(success=_left_out))


@functools.lru_cache(maxsize=16)
def _look(
    plan: EnvSpec,
    threshold: float | None,
    spec: str,
    contents: tuple[str, ...],
    patience: float | None,
) -> EnvInfo:
    arguments = (plan, threshold, spec)
    if patience is None:
        with contextmanager(examine)(*arguments, still) as survey:
            pass
    else:
        target = f"{__name__}:{examine_for_another.__name__}"
        survey = isolated.call(plan.origin.short, target, arguments, patience)
    verdict = survey.verdict
    return survey._replace(verdict=verdict._replace(success=_function(plan, spec, survey)))


def _left_out(achieved: Any, goal: Any) -> Any:
    raise AssertionError("a success function stays in its process")


def _verdict(
    origin: EnvId, stage: InProcessEnvs | VectorEnv, threshold: float | None, spec: str, beat: Beat
) -> SuccessFn:
    if spec:
        beat(0.0, "in its success function")
        return success.from_file(spec, stage.forms.goal)
    if threshold is not None:
        how = f"distance to the goal at most {threshold:g}, as given"
        return SuccessFn(
            success.within(threshold, len(stage.forms.goal.shape)), how, threshold, given=True
        )
    return _find(origin, stage, beat)


def _find(origin: EnvId, stage: InProcessEnvs | VectorEnv, beat: Beat) -> SuccessFn:
    met = list(meet(stage, beat))
    achieved = np.concatenate([frames.achieved for _, _, frames in met])
    desired = np.concatenate([frames.goal for _, _, frames in met])
    evidence = GoalSamples(stage.forms.goal, achieved, desired)
    owner, reward = _reward(origin, stage, beat)
    verdict = success.find(origin, evidence, owner, reward)
    agreement = Agreement(origin.short, verdict, EPISODES)
    for what, slots, frames in met:
        (agreement.begin if what == "reset" else agreement.step)(slots, frames)
    return verdict


def _reward(
    origin: EnvId, stage: InProcessEnvs | VectorEnv, beat: Beat
) -> tuple[Any, Reward | None]:
    """The object that may know a threshold, and ``compute_reward`` for hem's goals, if it has."""
    owner, compute = judge_of(origin, stage)
    if compute is None:
        return owner, None
    info = stage.info if isinstance(stage, InProcessEnvs) else {}
    reward = success.guarded(origin, success.reward_of(stage.forms.goal, compute, info))

    def beating(achieved: np.ndarray, goal: np.ndarray) -> float:
        beat(1.0, "in compute_reward")
        return reward(achieved, goal)

    return owner, beating


def _function(plan: EnvSpec, spec: str, survey: EnvInfo) -> Success:
    """The success function that was decided on, in this process."""
    verdict, goal = survey.verdict, survey.forms.goal
    if spec:
        return success.from_file(spec, goal).success
    if verdict.threshold is not None:
        return success.within(verdict.threshold, len(goal.shape))
    assert verdict.rewards is not None
    stage = make_env_slots(plan)
    list(meet(stage, still))  # it may want an info that a step returned
    reward = _reward(plan.origin, stage, still)[1]
    assert reward is not None
    return success.on_host(reward, *verdict.rewards, len(goal.shape))
