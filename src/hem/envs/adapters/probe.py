"""Inspection of an environment before training: its spaces, horizon and success."""

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
from hem.envs.spaces.codec import random_action
from hem.envs.spaces.forms import Forms
from hem.errors import UserError

EPISODES, STEPS = 4, 25  # of the random episodes that collect goals
Met = Literal["reset", "step"]


class EnvInfo(NamedTuple):
    """What hem needs to know about an environment."""

    forms: Forms
    horizon: int  # 0 if none is registered
    rows: int  # of a vector environment; 0 for a single one
    verdict: SuccessFn
    version: str


def look(
    plan: EnvSpec, threshold: float | None, spec: str, patience: float | None = None
) -> EnvInfo:
    """Inspect an environment; cached for equal arguments, files and registrations.

    Args:
        plan: what to make.
        threshold: distance at which a goal counts as achieved, if the user gives one.
        spec: a success function as ``file.py:function``, or "".
        patience: seconds that each call of its code may take, in a separate process; None to
            inspect it in this process.

    Raises:
        UserError: it cannot be used, or does not define when a goal is achieved.
        EnvError: the environment's code failed.
    """
    places = (plan.origin.place, spec.rpartition(":")[0])
    contents = tuple(user_module.digest(place) for place in places if place.endswith(".py"))
    try:
        plan = env_id.sendable(plan)
    except UserError:
        if patience is not None:  # it must be sent
            raise
    return _look(plan, threshold, spec, contents, patience)


def registered_horizon(env: Any) -> int:
    """The maximum steps per episode that the environment or its wrappers define; 0 if none."""
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
    """The object that may have a threshold attribute, and ``compute_reward`` if there is one."""
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
    """Run a few short random episodes, the same each time; yield resets and steps with slots."""
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
    """Inspect an environment in this process, yield what ``look`` returns, then close it.

    Raises:
        UserError: as for ``look``.
    """
    beat(0.0, "in its constructor")
    stage = make_env_slots(plan)
    try:
        with env_errors.attributed_to(plan.origin, "during inspection"):
            verdict = _verdict(plan.origin, stage, threshold, spec, beat)
            rows = stage.size if isinstance(stage, VectorEnv) else 0
            horizon = registered_horizon(stage.env)
            version = env_id.version_of(plan)
        yield EnvInfo(stage.forms, horizon, rows, verdict, version)
    finally:
        stage.close()


def examine_for_another(*arguments: Any) -> Iterator[EnvInfo]:
    """Like ``examine``, for another process, to which no success function can be sent."""
    with contextmanager(examine)(*arguments) as env_info:
        yield env_info._replace(verdict=env_info.verdict._replace(success=_left_out))


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
        with contextmanager(examine)(*arguments, still) as env_info:
            pass
    else:
        target = f"{__name__}:{examine_for_another.__name__}"
        env_info = isolated.call(plan.origin.short, target, arguments, patience)
    verdict = env_info.verdict
    return env_info._replace(verdict=verdict._replace(success=_function(plan, spec, env_info)))


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
    """The object that may have a threshold attribute, and ``compute_reward`` on hem's goals."""
    owner, compute = judge_of(origin, stage)
    if compute is None:
        return owner, None
    info = stage.info if isinstance(stage, InProcessEnvs) else {}
    reward = success.guarded(origin, success.reward_of(stage.forms.goal, compute, info))

    def beating(achieved: np.ndarray, goal: np.ndarray) -> float:
        beat(1.0, "in compute_reward")
        return reward(achieved, goal)

    return owner, beating


def _function(plan: EnvSpec, spec: str, env_info: EnvInfo) -> Success:
    """The selected success function, in this process."""
    verdict, goal = env_info.verdict, env_info.forms.goal
    if spec:
        return success.from_file(spec, goal).success
    if verdict.threshold is not None:
        return success.within(verdict.threshold, len(goal.shape))
    assert verdict.rewards is not None
    stage = make_env_slots(plan)
    list(meet(stage, still))  # it may need an info from a step
    reward = _reward(plan.origin, stage, still)[1]
    assert reward is not None
    return success.on_host(reward, *verdict.rewards, len(goal.shape))
