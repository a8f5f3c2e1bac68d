"""Rules: what random episodes reveal about an environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np

from hem.cli.check.recorder import Episode, RewardFunction, repeats, same
from hem.envs.adapters.env_id import EnvId
from hem.envs.adapters.success import of_pair

ENOUGH = 3  # episodes that do not agree by chance
OBJECT, REACHING = 0.1, 0.5  # shares of steps in which goals move: at most, at least
MOVED = 1e-3  # of the distance between goals; objects at rest tremble by less


class Finding(NamedTuple):
    """Something to know about an environment."""

    level: Literal["error", "warning", "note"]
    text: str


class Subject(NamedTuple):
    """The environment that is examined."""

    name: str  # for display
    origin: EnvId
    env: gymnasium.Env
    reward_fn: RewardFunction | None  # its compute_reward, if it has one
    horizon: int  # 0 if none is given
    given: bool = False  # success is given by the user, and compute_reward is not used


def _repeating(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    if subject.origin.kind == "envpool":
        yield Finding("note", "EnvPool is seeded only once: a resumed run will not be exact")
    elif not repeats(subject.env, seed=1):
        yield Finding(
            "error",
            "reset(seed=1) does not begin the same episode twice: runs cannot be reproduced or "
            "resumed exactly. Draw all random numbers from self.np_random, and call "
            "super().reset(seed=seed) first",
        )


def _ending(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    steps = [len(episode) - 1 for episode in episodes]
    if subject.horizon:
        yield Finding("note", f"an episode has at most {subject.horizon} steps")
    else:
        yield Finding("warning", "it has no maximum episode length: train it with --horizon STEPS")
    over = sum(episode[-1].over for episode in episodes)
    early = [n for n, episode in zip(steps, episodes, strict=True) if episode[-1].over]
    if not any(step.terminated for episode in episodes for step in episode):
        yield Finding(
            "note", "it never terminated an episode: hem ends one when the goal is reached"
        )
    if over and max(early) <= 1:
        yield Finding("warning", "every episode that it ended was over after one step")
    elif over:
        yield Finding("note", f"it ended {over} of {len(steps)} random episodes by itself")


def _time_limit(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether a time limit is reported as a failure."""
    missed = [episode for episode in episodes if not any(step.success for step in episode)]
    steps = {len(episode) - 1 for episode in missed if episode[-1].terminated}
    late = len(missed) >= ENOUGH and all(episode[-1].terminated for episode in missed)
    if late and len(steps) == 1 and steps != {1}:
        yield Finding(
            "warning",
            f"each of {len(missed)} episodes that did not reach the goal was terminated after "
            f"{min(steps)} steps: if that is a time limit, return truncated instead of terminated, "
            "which means that the episode failed",
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
            "the observation contains the desired goal: a policy trained on relabeled goals would "
            "read that goal from it instead of the one that it receives. Leave it out",
        )


def _given_away(episodes: list[Episode]) -> bool:
    """Whether the same slice of every observation is its desired goal."""
    places: set[int] | None = None
    for episode in episodes:
        for step in episode:
            if step.obs is None or isinstance(step.desired, (dict, tuple)):
                return False
            goal = np.asarray(step.desired).ravel()
            if len(goal) > len(step.obs):
                return False
            windows = np.lib.stride_tricks.sliding_window_view(step.obs, len(goal))
            here = set(np.flatnonzero((windows == goal).all(axis=1)).tolist())
            places = here if places is None else places & here
            if not places:
                return False
    return bool(places)


def _reaching(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether goals are reached, and whether there is anything to learn if they are not."""
    known = [s.success for episode in episodes for s in episode[1:] if s.success is not None]
    if not known and subject.origin.kind != "envpool":
        yield Finding("note", "info has neither is_success nor success; hem does not need them")
    at_start = sum(bool(episode[0].success) for episode in episodes)
    if 2 * at_start > len(episodes):
        yield Finding(
            "warning",
            f"the goal is already achieved at reset in {at_start} of {len(episodes)} episodes",
        )
    moved = sum(any(not same(s.achieved, e[0].achieved) for s in e) for e in episodes)
    if moved == 0:
        yield Finding(
            "warning",
            "the achieved goal never changes in a random episode, so hindsight has nothing to "
            "learn from: start where random actions have an effect, or explore with more "
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


def _moving(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Which algorithm suits: in reaching, most actions move the achieved goal; objects mostly rest.

    In eleven tasks of reaching it moved in 74 to 100% of random steps; in pushing, sliding and
    picking in 1 to 4%. In between was a walk where most actions turn (28%): HER learned it sooner.
    To push, the hybrid needed a fifth of HER's steps; sliding and lifting are HER's.
    """
    goals = [
        [np.asarray(step.achieved, object).ravel() for step in episode] for episode in episodes
    ]
    if not all(isinstance(x, (int, float, np.number)) for x in goals[0][0]):
        return  # nested, which has no distance
    paths = [np.array(path, np.float64) for path in goals]
    ends = np.array([np.asarray(episode[0].desired).ravel() for episode in episodes], np.float64)
    spread = np.linalg.norm(np.ptp(np.vstack([ends, *paths]), axis=0))
    if not spread > 0:
        return  # one goal, or NaN, which is reported elsewhere
    moves = np.concatenate([np.linalg.norm(np.diff(path, axis=0), axis=1) for path in paths])
    share = float((moves > MOVED * spread).mean())
    if share < OBJECT:
        advice = (
            ", as objects do: use --algo hem-her --skip-achieved (to slide or lift: --algo her)"
        )
    elif share < REACHING:
        advice = ": compare --algo hem with --algo her"
    else:
        advice = ": --algo hem suits such tasks"
    yield Finding("note", f"the achieved goal moved in {share:.0%} of random steps{advice}")


def _rewarding(subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Whether the reward, info and compute_reward agree on success."""
    steps = [step for episode in episodes for step in episode[1:]]
    rewards = {step.reward for step in steps}
    if len(rewards) > 2:
        yield Finding(
            "note", f"its reward is not binary: {len(rewards)} values were seen; hem ignores it"
        )
    if subject.reward_fn is None:
        yield Finding("note", "it has no compute_reward")
        return
    if subject.given:
        yield Finding("note", "hem does not use its compute_reward, because success is given")
        return
    goal = steps[0].desired
    try:
        hit = of_pair(subject.reward_fn.compute, goal, goal, {})
    except (Exception, SystemExit):
        return  # if it also fails in a step, that is reported elsewhere
    judged = [step for step in steps if step.success is not None]
    wrong = [step for step in judged if step.success != (step.reward >= hit)]
    if wrong and len(rewards) <= 2:
        yield Finding(
            "error",
            f"info says success is {wrong[0].success} where the reward is {wrong[0].reward:g} "
            f"({len(wrong)} of {len(judged)} steps), but a goal achieved exactly has reward "
            f"{hit:g}",
        )
    if not _takes_batches(subject.reward_fn.compute, [step.achieved for step in steps[:3]], goal):
        yield Finding(
            "note",
            "compute_reward does not accept batches of goals; hem calls it for one pair at a time, "
            "but other libraries may not",
        )


def _takes_batches(reward_fn: Any, achieved: list[Any], goal: Any) -> bool:
    try:
        stacked = np.stack([np.asarray(x) for x in achieved])
        goals = np.stack([np.asarray(goal)] * len(achieved))
        together = np.asarray(reward_fn(stacked, goals, [{}] * len(achieved)), np.float64)
        single = [of_pair(reward_fn, x, goal, {}) for x in achieved]
    except (Exception, SystemExit):
        return False
    return together.shape == (len(achieved),) and np.allclose(together, single)


RULES = (_repeating, _ending, _time_limit, _telling, _reaching, _moving, _rewarding)
