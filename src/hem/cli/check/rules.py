"""What can be said of an environment that was watched in random episodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np

from hem.cli.check.recorder import Episode, Judge, repeats, same
from hem.envs.adapters.env_id import EnvId
from hem.envs.adapters.success import of_pair

ENOUGH = 3  # episodes that say the same by no chance


class Finding(NamedTuple):
    """Something to know of an environment."""

    level: Literal["error", "warning", "note"]
    text: str


class Subject(NamedTuple):
    """What is examined."""

    name: str  # for people
    origin: EnvId
    env: gymnasium.Env
    compute: Judge | None  # its compute_reward, if it has one
    horizon: int  # 0 where none is given
    given: bool = False  # hem is told what success is, and asks no compute_reward


def _repeating(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    if subject.origin.kind == "envpool":
        yield Finding("note", "an EnvPool is seeded once only: a resumed run will not be exact")
    elif not repeats(subject.env, seed=1):
        yield Finding(
            "error",
            "reset(seed=1) does not begin the same episode twice: runs cannot be repeated, nor "
            "resumed exactly. Draw everything random from self.np_random, and call "
            "super().reset(seed=seed) first",
        )


def _ending(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    steps = [len(episode) - 1 for episode in episodes]
    if subject.horizon:
        yield Finding("note", f"an episode has at most {subject.horizon} steps")
    else:
        yield Finding(
            "warning", "it does not say how long an episode may be: train it with --horizon STEPS"
        )
    over = sum(episode[-1].over for episode in episodes)
    early = [n for n, episode in zip(steps, episodes, strict=True) if episode[-1].over]
    if not any(seen.terminated for episode in episodes for seen in episode):
        yield Finding(
            "note", "it never terminated an episode: hem ends one where the goal is reached"
        )
    if over and max(early) <= 1:
        yield Finding("warning", "every episode that it ended was over after a single step")
    elif over:
        yield Finding("note", f"it ended {over} of {len(steps)} random episodes by itself")


def _time_limit(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether running out of time is told as failing."""
    missed = [episode for episode in episodes if not any(seen.success for seen in episode)]
    steps = {len(episode) - 1 for episode in missed if episode[-1].terminated}
    late = len(missed) >= ENOUGH and all(episode[-1].terminated for episode in missed)
    if late and len(steps) == 1 and steps != {1}:
        yield Finding(
            "warning",
            f"each of {len(missed)} episodes that did not reach the goal was terminated after "
            f"{min(steps)} steps: if that is a time limit, return truncated in place of terminated,"
            " which says that the episode has failed",
        )


def _telling(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether goals vary, and whether the observation gives them away."""
    goals = [episode[0].desired for episode in episodes]
    varied = any(not same(goals[0], goal) for goal in goals)
    if not varied and len(goals) > 1:
        yield Finding("note", "every episode has the same desired goal")
    if varied and _given_away(episodes):
        yield Finding(
            "warning",
            "the observation contains the desired goal: a policy that learns in hindsight would "
            "read the goal of the day from it, and not the one it is told. Leave it out",
        )


def _given_away(episodes: list[Episode]) -> bool:
    """Whether the same numbers of every observation are its desired goal."""
    places: set[int] | None = None
    for episode in episodes:
        for seen in episode:
            if seen.obs is None or isinstance(seen.desired, (dict, tuple)):
                return False
            goal = np.asarray(seen.desired).ravel()
            if len(goal) > len(seen.obs):
                return False
            windows = np.lib.stride_tricks.sliding_window_view(seen.obs, len(goal))
            here = set(np.flatnonzero((windows == goal).all(axis=1)).tolist())
            places = here if places is None else places & here
            if not places:
                return False
    return bool(places)


def _reaching(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether goals are reached, and whether there is anything to learn from where they are not."""
    known = [s.success for episode in episodes for s in episode[1:] if s.success is not None]
    if not known and subject.origin.kind != "envpool":
        yield Finding("note", "info has neither is_success nor success; hem does not need them")
    at_start = sum(bool(episode[0].success) for episode in episodes)
    if 2 * at_start > len(episodes):
        yield Finding(
            "warning",
            f"the goal is achieved at reset already in {at_start} of {len(episodes)} episodes",
        )
    moved = sum(any(not same(s.achieved, e[0].achieved) for s in e) for e in episodes)
    if moved == 0:
        yield Finding(
            "warning",
            "the achieved goal never changes in a random episode, so there is nothing to learn "
            "from in hindsight: begin where random actions do something, or explore with more "
            "--action-noise (discrete actions: --random-eps)",
        )
    reached = sum(any(s.success for s in episode[1:]) for episode in episodes)
    if known and reached == 0:
        yield Finding(
            "warning" if moved == 0 else "note",
            f"random actions never reached the goal in {len(episodes)} episodes: that is what "
            f"hindsight is for, and the achieved goal changed in {moved} of them",
        )
    elif known:
        yield Finding("note", f"random actions reached the goal in {reached} of {len(episodes)}")


def _rewarding(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether the reward, info and compute_reward agree on what success is."""
    steps = [seen for episode in episodes for seen in episode[1:]]
    rewards = {seen.reward for seen in steps}
    if len(rewards) > 2:
        yield Finding("note", f"its reward grades: {len(rewards)} values were seen; hem ignores it")
    if subject.compute is None:
        yield Finding("note", "it has no compute_reward")
        return
    if subject.given:
        yield Finding("note", "hem does not ask its compute_reward: it is told what success is")
        return
    goal = steps[0].desired
    try:
        hit = of_pair(subject.compute.compute, goal, goal, {})
    except (Exception, SystemExit):
        return  # what fails in a step too is told with how hem would use it
    judged = [seen for seen in steps if seen.success is not None]
    wrong = [seen for seen in judged if seen.success != (seen.reward >= hit)]
    if wrong and len(rewards) <= 2:
        yield Finding(
            "error",
            f"info says success is {wrong[0].success} where the reward is {wrong[0].reward:g} "
            f"({len(wrong)} of {len(judged)} steps), but the reward of a goal achieved exactly is "
            f"{hit:g}",
        )
    if not _takes_batches(subject.compute.compute, [seen.achieved for seen in steps[:3]], goal):
        yield Finding(
            "note",
            "compute_reward does not take batches of goals; hem asks it one pair at a time, "
            "other libraries may not",
        )


def _takes_batches(compute: Any, achieved: list[Any], goal: Any) -> bool:
    try:
        stacked = np.stack([np.asarray(x) for x in achieved])
        goals = np.stack([np.asarray(goal)] * len(achieved))
        together = np.asarray(compute(stacked, goals, [{}] * len(achieved)), np.float64)
        single = [of_pair(compute, x, goal, {}) for x in achieved]
    except (Exception, SystemExit):
        return False
    return together.shape == (len(achieved),) and np.allclose(together, single)


JUDGES = (_repeating, _ending, _time_limit, _telling, _reaching, _rewarding)
