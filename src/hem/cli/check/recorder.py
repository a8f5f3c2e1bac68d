"""Runs random episodes of an environment and compares what it returns with what it declares."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from hem.envs.adapters import protocol, reported_success
from hem.envs.adapters.isolated import Beat, still
from hem.envs.adapters.success import of_pair
from hem.envs.spaces.codec import alike
from hem.envs.spaces.forms import KEYS, named

SLACK = 1e-5  # relative tolerance for values outside their bounds
LARGEST = 1000  # numbers in an observation that is kept


class StepRecord(NamedTuple):
    """A step of an episode, or its start."""

    obs: np.ndarray | None  # [O], if it is numbers; images are too large to keep
    achieved: Any
    desired: Any
    reward: float  # NaN at the start
    success: bool | None  # as reported in info, if it is
    over: bool  # the environment ended the episode
    terminated: bool


Episode = list[StepRecord]


class RewardFunction:
    """``compute_reward``, called until it fails."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        self.compute = compute
        self.error: BaseException | None = None  # from a step

    def __call__(self, achieved: Any, desired: Any, info: dict) -> float:
        """The reward of a pair of goals; NaN after a failure."""
        if self.error is not None:
            return np.nan
        try:
            return of_pair(self.compute, achieved, desired, info)
        except (Exception, SystemExit) as error:
            self.error = error
            return np.nan


class Issues:
    """Issues by kind: the first of each kind is reported, the others are counted."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def add(self, kind: str, text: str) -> None:
        """Record an issue of this kind, with its message."""
        self._first.setdefault(kind, text)
        self._count[kind] = self._count.get(kind, 0) + 1

    def __contains__(self, kind: str) -> bool:
        return kind in self._count

    def texts(self) -> Iterator[str]:
        """The message of each kind."""
        for kind, text in self._first.items():
            more = self._count[kind] - 1
            yield text + (f" (and {more} more like it)" if more else "")


def watch(
    env: gymnasium.Env,
    number: int,
    longest: int,
    reward_fn: RewardFunction | None,
    issues: Issues,
    beat: Beat = still,
) -> list[Episode]:
    """Run random episodes, each seeded with its number, until a value cannot be used.

    Args:
        env: the environment.
        number: number of episodes.
        longest: steps after which an episode is cut off.
        reward_fn: the environment's ``compute_reward``.
        issues: collects the issues.
        beat: called before each call into the environment.
    """
    episodes = []
    for seed in range(number):
        env.action_space.seed(seed)
        beat(seed / number, f"in reset(seed={seed})")
        obs, info = protocol.of_reset(env.reset(seed=seed))
        obs = copy.deepcopy(obs)  # it may be changed in place by a step
        when = f"after reset(seed={seed})"
        if not _fits(env, obs, when, issues):
            break
        goal, episode = obs["desired_goal"], [_record(obs, info, np.nan, False, False)]
        for t in range(1, longest + 1):
            when = f"in step {t} after reset(seed={seed})"
            share = (seed + t / longest) / number
            beat(share, when)
            result = protocol.of_step(env.step(env.action_space.sample()))
            obs, reward, terminated, truncated, info = result
            obs = copy.deepcopy(obs)
            if not _fits(env, obs, when, issues):
                return episodes
            if reward_fn is not None:
                beat(share, f"in compute_reward {when}")
            _check_reward(obs, reward, info, reward_fn, when, issues)
            if not same(obs["desired_goal"], goal, alike):
                issues.add(
                    "goal changes",
                    f"the goal changes mid-episode, {when}: hem's policies receive the one that "
                    "reset returned. End the episode instead",
                )
                goal = obs["desired_goal"]
            episode.append(_record(obs, info, reward, terminated or truncated, terminated))
            if terminated or truncated:
                break
        episodes.append(episode)
    return episodes


def repeats(env: gymnasium.Env, seed: int, steps: int = 5) -> bool:
    """Whether an episode begins the same way twice from the same seed."""
    env.action_space.seed(seed)
    # Drawn once: a reset may replace the action space.
    actions = [env.action_space.sample() for _ in range(steps)]

    def begin() -> list[Any]:  # copies, as both may be changed in place
        seen = [copy.deepcopy(env.reset(seed=seed)[0])]
        for action in actions:
            obs, _, terminated, truncated, _ = protocol.of_step(env.step(copy.copy(action)))
            seen.append(copy.deepcopy(obs))
            if terminated or truncated:
                break
        return seen

    one, other = begin(), begin()
    return len(one) == len(other) and all(
        same(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in KEYS
    )


def same(one: Any, other: Any, equal: Callable[[Any, Any], bool] = np.array_equal) -> bool:
    """Whether two values of a space are equal, where ``equal`` compares arrays."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], equal) for k in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other, [equal] * len(one)))
    return equal(np.asarray(one), np.asarray(other))


def _record(obs: dict, info: dict, reward: Any, over: Any, terminated: Any) -> StepRecord:
    said = reported_success.of_info(info)
    x = obs["observation"]
    kept = not isinstance(x, (dict, tuple)) and np.size(x) <= LARGEST
    return StepRecord(
        np.asarray(x).ravel() if kept else None,
        obs["achieved_goal"],
        obs["desired_goal"],
        reported_success.number(reward),
        None if said == reported_success.UNSAID else said == reported_success.YES,
        bool(over),
        bool(terminated),
    )


def _fits(env: gymnasium.Env, obs: Any, when: str, issues: Issues) -> bool:
    """Whether the observation can be used at all; records an issue for each mismatch."""
    if not isinstance(obs, dict) or any(key not in obs for key in KEYS):
        lacking = [key for key in KEYS if not isinstance(obs, dict) or key not in obs]
        issues.add("keys", f"the observation is missing {' and '.join(lacking)} {when}")
        return False
    space = env.observation_space
    assert isinstance(space, spaces.Dict)
    fits = [_fits_space(space[key], obs[key], key, when, issues) for key in KEYS]
    return all(fits)


def _fits_space(space: spaces.Space, value: Any, key: str, when: str, issues: Issues) -> bool:
    if not isinstance(space, spaces.Box):
        if space.contains(value):
            return True
        issues.add(
            f"{key} space",
            f"{key} is {named(value)} {when}, which is not in its space {named(space)}",
        )
        return False
    x = np.asarray(value)
    if x.shape != space.shape:
        issues.add(
            f"{key} shape", f"{key} has shape {x.shape} {when}, but its space has {space.shape}"
        )
        return False
    if x.dtype.kind not in "biuf":
        issues.add(
            f"{key} type", f"{key} has type {x.dtype} {when}, but its space has {space.dtype}"
        )
        return False
    if not np.isfinite(x).all():
        issues.add(f"{key} NaN", f"{key} contains NaN or infinity {when}")
        return False
    if x.dtype != space.dtype:
        issues.add(
            f"{key} type", f"{key} has type {x.dtype} {when}, but its space has {space.dtype}"
        )
    slack = SLACK * (1 + np.abs(x.astype(np.float64)))
    outside = (x < space.low - slack) | (x > space.high + slack)
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        low, high = space.low.ravel()[place], space.high.ravel()[place]
        issues.add(
            f"{key} bounds",
            f"{key} is outside its space {when}: element {place} is {x.ravel()[place]:g}, but its "
            f"bounds are {low:g} to {high:g}",
        )
    return True


def _check_reward(
    obs: dict, reward: Any, info: dict, reward_fn: RewardFunction | None, when: str, issues: Issues
) -> None:
    if not np.isfinite(reported_success.number(reward)):
        issues.add("reward NaN", f"the reward is {named(reward)} {when}")
        return
    if reward_fn is None:
        return
    reward = reported_success.number(reward)
    again = reward_fn(obs["achieved_goal"], obs["desired_goal"], info)
    if reward_fn.error is None and not np.isclose(again, reward, rtol=1e-5, atol=1e-6):
        issues.add(
            "reward",
            f"the reward is {reward:g} {when}, but compute_reward returns {again:g} for the "
            "goals that the same step returned",
        )
