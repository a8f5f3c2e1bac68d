"""Comparison of hem's success with the success that the environment reports, step by step.

An environment reports success in ``info["is_success"]``, and by its reward, if that has the two
values of ``compute_reward``. It contradicts hem if everything that it reports does. Some
environments keep reporting success once it was reached, or reward it only once: after an episode
was a success for one of the two, its later silence is not a contradiction. A few contradictions are
noise; many mean that the success function is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hem.envs.adapters.env_errors import shown
from hem.envs.adapters.env_slots import StepResult
from hem.envs.adapters.reported_success import NO, UNSAID, YES
from hem.envs.adapters.success import REMEDY, SuccessFn
from hem.envs.adapters.threshold_search import blur_of, distances
from hem.errors import EnvError

TOLERATED, SHARE = 2, 0.25  # contradictions: a number, plus a share of the steps with success


class Agreement:
    """Counts contradictions in episodes that run in slots."""

    def __init__(self, name: str, verdict: SuccessFn, slots: int) -> None:
        """Start counting at zero.

        Args:
            name: the environment's display name.
            verdict: hem's success function.
            slots: how many.
        """
        self._name, self._verdict = name, verdict
        self._goals: dict[int, np.ndarray] = {}  # desired ones, by slot
        self._by_hem = np.zeros(slots, bool)  # episodes that were already a success
        self._by_env = np.zeros(slots, bool)
        self._rewards: set[float] = set()  # up to three different ones
        self._both, self._one = 0, 0  # steps that are a success for both, or for one of the two

    def begin(self, slots: Sequence[int], frames: StepResult) -> None:
        """Record episodes that begin."""
        where = np.asarray(slots)
        self._goals |= dict(zip(slots, frames.goal, strict=True))
        self._by_hem[where] = self._verdict.success(frames.achieved, frames.goal)
        self._by_env[where] = False

    def step(self, slots: Sequence[int], frames: StepResult) -> None:
        """Record a step of some episodes.

        Raises:
            EnvError: there are too many contradictions; the message shows the latest.
        """
        slots = [slot for slot, lost in zip(slots, frames.lost, strict=True) if not lost]
        if not slots:
            return
        frames = StepResult(*(x[~frames.lost] for x in frames))
        where, goal = np.asarray(slots), np.stack([self._goals[slot] for slot in slots])
        achieved, paid = frames.achieved, self._paid(frames.reward)
        hem = np.asarray(self._verdict.success(achieved, goal))
        yes = (frames.said == YES) | (paid == YES)
        no = (frames.said == NO) | (paid == NO)
        only_hem = hem & no & ~yes & ~frames.terminated & ~self._by_env[where]
        only_env = ~hem & yes & ~no & ~self._by_hem[where]
        contrary = (only_hem | only_env) & self._clear(achieved, goal)
        self._by_hem[where] |= hem
        self._by_env[where] |= yes
        self._both += int((hem & yes).sum())
        self._one += int(contrary.sum())
        among = self._both + self._one
        if contrary.any() and self._one > TOLERATED + SHARE * among:
            row = int(np.flatnonzero(contrary)[0])
            example = Example(
                achieved[row], goal[row], hem[row], frames.reward[row], frames.said[row]
            )
            count = f"{self._one} of the {among} steps that either considers a success"
            raise EnvError(f"{self._name} contradicts hem: {example.described(self._verdict)}; "
                             f"this happens in {count}: {REMEDY}")  # fmt: skip

    def _paid(self, reward: np.ndarray) -> np.ndarray:
        """Success according to rewards, i8[n]; unsaid unless they are those of goals."""
        if len(self._rewards) <= 2:
            self._rewards |= {*reward.tolist()}
        known = self._verdict.rewards
        if known is None or self._rewards != {*known}:
            return np.full(len(reward), UNSAID)
        return np.where(reward == known[0], YES, NO)

    def _clear(self, achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Where single precision can tell the distance from the threshold, bool[n]."""
        threshold = self._verdict.threshold
        if threshold is None:
            return np.ones(len(goal), bool)
        return np.abs(distances(achieved, goal) - threshold) > blur_of(threshold, goal)


class Example(NamedTuple):
    """A step that is a success for only one of the two."""

    achieved: np.ndarray
    goal: np.ndarray
    hem: bool
    reward: float
    said: int  # success according to info

    def described(self, verdict: SuccessFn) -> str:
        """How each judges it."""
        words = f"reward {self.reward:g}"
        if self.said != UNSAID:
            words += f", is_success {self.said == YES}"
        mine, other = ("a success", "not") if self.hem else ("not a success", "one")
        return (
            f"achieved goal {shown(self.achieved)} for desired goal {shown(self.goal)} is {mine} "
            f"according to hem ({verdict.how}), but {other} according to the environment ({words})"
        )
