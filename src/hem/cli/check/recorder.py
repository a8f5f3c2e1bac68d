"""Random episodes of an environment, watched: what it returns against what it says it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from hem.envs.adapters import protocol, reported_success
from hem.envs.adapters.isolated import Beat, still
from hem.envs.adapters.success import of_pair
from hem.envs.spaces.codec import KEYS, alike, named

SLACK = 1e-5  # by which a number may lie outside its bounds, relative to them
LARGEST = 1000  # numbers of an observation that is kept


class Seen(NamedTuple):
    """A step of an episode, or its start."""

    obs: np.ndarray | None  # [O], where it is numbers; images are too large to keep
    achieved: Any
    desired: Any
    reward: float  # NaN at the start
    success: bool | None  # what info says, if it does
    over: bool  # the environment ended the episode
    terminated: bool


Episode = list[Seen]


class Judge:
    """``compute_reward``, asked until it fails."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        self.compute = compute
        self.error: BaseException | None = None  # of a step

    def __call__(self, achieved: Any, desired: Any, info: dict) -> float:
        """The reward of a pair of goals; NaN once it failed."""
        if self.error is not None:
            return np.nan
        try:
            return of_pair(self.compute, achieved, desired, info)
        except (Exception, SystemExit) as error:
            self.error = error
            return np.nan


class Notes:
    """Complaints, each kind of them once: the first is told, the others are counted."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def add(self, kind: str, text: str) -> None:
        """Note a complaint of a kind, with what there is to say of this one."""
        self._first.setdefault(kind, text)
        self._count[kind] = self._count.get(kind, 0) + 1

    def __contains__(self, kind: str) -> bool:
        return kind in self._count

    def texts(self) -> Iterator[str]:
        """What to tell of each kind."""
        for kind, text in self._first.items():
            more = self._count[kind] - 1
            yield text + (f" (and {more} more like it)" if more else "")


def watch(
    env: gymnasium.Env,
    number: int,
    longest: int,
    compute: Judge | None,
    notes: Notes,
    beat: Beat = still,
) -> list[Episode]:
    """Run random episodes, each from its number as a seed, until something cannot be used.

    Args:
        env: where.
        number: of episodes.
        longest: steps after which one is given up.
        compute: the environment's ``compute_reward``.
        notes: where complaints go.
        beat: told before each thing that the environment does.
    """
    episodes = []
    for seed in range(number):
        env.action_space.seed(seed)
        beat(seed / number, f"in reset(seed={seed})")
        obs, info = protocol.of_reset(env.reset(seed=seed))
        when = f"after reset(seed={seed})"
        if not _fits(env, obs, when, notes):
            break
        goal, episode = obs["desired_goal"], [_seen(obs, info, np.nan, False, False)]
        for t in range(1, longest + 1):
            when = f"in step {t} after reset(seed={seed})"
            share = (seed + t / longest) / number
            beat(share, when)
            result = protocol.of_step(env.step(env.action_space.sample()))
            obs, reward, terminated, truncated, info = result
            if not _fits(env, obs, when, notes):
                return episodes
            if compute is not None:
                beat(share, f"in compute_reward {when}")
            _judge_reward(obs, reward, info, compute, when, notes)
            if not same(obs["desired_goal"], goal, alike):
                notes.add(
                    "goal changes",
                    f"the goal changes in mid-episode, {when}: hem's policies are told the one "
                    "that reset returned. End the episode instead",
                )
                goal = obs["desired_goal"]
            episode.append(_seen(obs, info, reward, terminated or truncated, terminated))
            if terminated or truncated:
                break
        episodes.append(episode)
    return episodes


def repeats(env: gymnasium.Env, seed: int, steps: int = 5) -> bool:
    """Whether an episode begins the same when it is begun twice from one seed."""

    def begin() -> list[Any]:
        env.action_space.seed(seed)
        seen = [env.reset(seed=seed)[0]]
        for _ in range(steps):
            result = protocol.of_step(env.step(env.action_space.sample()))
            obs, _, terminated, truncated, _ = result
            seen.append(obs)
            if terminated or truncated:
                break
        return seen

    one, other = begin(), begin()
    return len(one) == len(other) and all(
        same(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in KEYS
    )


def same(one: Any, other: Any, equal: Callable[[Any, Any], bool] = np.array_equal) -> bool:
    """Whether two values of a space are equal, given when two arrays are."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], equal) for k in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other, [equal] * len(one)))
    return equal(np.asarray(one), np.asarray(other))


def _seen(obs: dict, info: dict, reward: Any, over: Any, terminated: Any) -> Seen:
    said = reported_success.of_info(info)
    x = obs["observation"]
    kept = not isinstance(x, (dict, tuple)) and np.size(x) <= LARGEST
    return Seen(
        np.asarray(x).ravel() if kept else None,
        obs["achieved_goal"],
        obs["desired_goal"],
        reported_success.number(reward),
        None if said == reported_success.UNSAID else said == reported_success.YES,
        bool(over),
        bool(terminated),
    )


def _fits(env: gymnasium.Env, obs: Any, when: str, notes: Notes) -> bool:
    """Whether the observation can be used at all; complain where it is not what it should be."""
    if not isinstance(obs, dict) or any(key not in obs for key in KEYS):
        lacking = [key for key in KEYS if not isinstance(obs, dict) or key not in obs]
        notes.add("keys", f"the observation lacks {' and '.join(lacking)} {when}")
        return False
    space = env.observation_space
    assert isinstance(space, spaces.Dict)
    fits = [_fits_space(space[key], obs[key], key, when, notes) for key in KEYS]
    return all(fits)


def _fits_space(space: spaces.Space, value: Any, key: str, when: str, notes: Notes) -> bool:
    if not isinstance(space, spaces.Box):
        if space.contains(value):
            return True
        notes.add(
            f"{key} space",
            f"{key} is {named(value)} {when}, which is not in its space {named(space)}",
        )
        return False
    x = np.asarray(value)
    if x.shape != space.shape:
        notes.add(f"{key} shape", f"{key} has shape {x.shape} {when}, its space {space.shape}")
        return False
    if x.dtype.kind not in "biuf":
        notes.add(f"{key} type", f"{key} has type {x.dtype} {when}, its space {space.dtype}")
        return False
    if not np.isfinite(x).all():
        notes.add(f"{key} NaN", f"{key} holds a NaN or an infinity {when}")
        return False
    if x.dtype != space.dtype:
        notes.add(f"{key} type", f"{key} has type {x.dtype} {when}, but its space {space.dtype}")
    slack = SLACK * (1 + np.abs(x.astype(np.float64)))
    outside = (x < space.low - slack) | (x > space.high + slack)
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        low, high = space.low.ravel()[place], space.high.ravel()[place]
        notes.add(
            f"{key} bounds",
            f"{key} is outside its space {when}: number {place} is {x.ravel()[place]:g}, allowed "
            f"is {low:g} to {high:g}",
        )
    return True


def _judge_reward(
    obs: dict, reward: Any, info: dict, compute: Judge | None, when: str, notes: Notes
) -> None:
    if not np.isfinite(reported_success.number(reward)):
        notes.add("reward NaN", f"the reward is {named(reward)} {when}")
        return
    if compute is None:
        return
    reward = reported_success.number(reward)
    again = compute(obs["achieved_goal"], obs["desired_goal"], info)
    if compute.error is None and not np.isclose(again, reward, rtol=1e-5, atol=1e-6):
        notes.add(
            "reward",
            f"the reward is {reward:g} {when}, but compute_reward says {again:g} of the "
            "goals that the same step returned",
        )
