"""A look at an environment before episodes are run: its spaces, its horizon, its success."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv

from hem.envs.gymnasium import code, source, success
from hem.envs.gymnasium.agreement import Agreement
from hem.envs.gymnasium.source import Origin, Plan
from hem.envs.gymnasium.stage import Frames, Local
from hem.envs.gymnasium.stages import open_stage
from hem.envs.gymnasium.success import Evidence, Reward, Verdict
from hem.envs.gymnasium.vector import Vector
from hem.spaces import Forms, random_action

EPISODES, STEPS = 4, 25  # of the random episodes in which goals are met
Met = Literal["reset", "step"]


class Survey(NamedTuple):
    """What hem has to know of an environment."""

    forms: Forms
    horizon: int  # 0 where none is registered
    rows: int  # of a vector environment; 0 for a single one
    verdict: Verdict
    version: str


def look(plan: Plan, threshold: float | None, spec: str) -> Survey:
    """Look at an environment, once for equal arguments and unchanged files.

    Args:
        plan: what to make.
        threshold: of the distance at which a goal is achieved, if the user gives one.
        spec: a success function as ``file.py:function``, or nothing.

    Raises:
        UserError: it cannot be used, or does not say when a goal is achieved.
        WorldError: its author's code failed.
    """
    places = (plan.origin.place, spec.rpartition(":")[0])
    contents = tuple(code.digest(place) for place in places if place.endswith(".py"))
    return _look(plan, threshold, spec, contents)


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


def judge_of(origin: Origin, stage: Local | Vector) -> tuple[Any, Callable[..., Any] | None]:
    """The object that may know a threshold, and ``compute_reward`` if there is one."""
    if origin.kind == "envpool":
        if origin.name not in source.registered():
            return None, None
        same = Origin("gymnasium", "", origin.name)
        return judge_of(same, Local(Plan(same, (), 0)))
    env: Any = stage.env
    if isinstance(stage, Vector):
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


def meet(stage: Local | Vector) -> Iterator[tuple[Met, list[int], Frames]]:
    """A few short random episodes, the same ones each time: resets and steps, of which slots."""
    rng = np.random.default_rng(0)
    slots = [0] if isinstance(stage, Local) else list(range(min(stage.size, EPISODES)))
    for episode in range(0, EPISODES, len(slots)):
        running = slots
        frames = stage.reset(running, [episode + slot for slot in running])
        yield "reset", running, frames
        for _ in range(STEPS):
            ended = frames.terminated | frames.truncated
            running = [s for s, over in zip(running, ended, strict=True) if not over]
            if not running:
                break
            actions = np.stack([random_action(stage.forms.action, rng) for _ in running])
            frames = stage.step(running, actions)
            yield "step", running, frames


@functools.lru_cache(maxsize=16)
def _look(plan: Plan, threshold: float | None, spec: str, contents: tuple[str, ...]) -> Survey:
    stage = open_stage(plan)
    verdict = None
    try:
        if spec:
            verdict = success.from_file(spec, stage.forms.goal)
        elif threshold is not None:
            rank = len(stage.forms.goal.shape)
            how = f"distance to the goal at most {threshold:g}, as given"
            verdict = Verdict(success.within(threshold, rank), how, threshold, given=True)
        else:
            verdict = _find(plan.origin, stage)
        rows = stage.size if isinstance(stage, Vector) else 0
        horizon = registered_horizon(stage.env)
        return Survey(stage.forms, horizon, rows, verdict, source.version_of(plan))
    finally:
        if verdict is None or not verdict.on_host:  # else it is still asked for rewards
            stage.close()


def _find(origin: Origin, stage: Local | Vector) -> Verdict:
    met = list(meet(stage))
    achieved = np.concatenate([frames.achieved for _, _, frames in met])
    desired = np.concatenate([frames.goal for _, _, frames in met])
    evidence = Evidence(stage.forms.goal, achieved, desired)
    owner, compute = judge_of(origin, stage)
    reward: Reward | None = None
    if compute is not None:
        info = stage.info if isinstance(stage, Local) else {}
        reward = success.reward_of(stage.forms.goal, compute, info)
    verdict = success.find(origin, evidence, owner, reward)
    agreement = Agreement(origin.short, verdict, EPISODES)
    for what, slots, frames in met:
        (agreement.begin if what == "reset" else agreement.step)(slots, frames)
    return verdict
