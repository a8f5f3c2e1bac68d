"""hem's success held against the environment's own word for it, step by step.

An environment says of a step whether its goal is achieved by ``info["is_success"]``, and by its
reward, where that has the two values of ``compute_reward``. It contradicts hem where all that it
says does. Success may stay reported once it was reached, or be paid for once only: after both have
called an episode a success, neither is contradicted by the other's silence. A few contradictions
are noise; many are a success function that does not fit.
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
from hem.errors import WorldError

TOLERATED, SHARE = 2, 0.25  # contradictions: a few, and of the steps that either calls a success


class Agreement:
    """Counts contradictions in episodes that run in slots."""

    def __init__(self, name: str, verdict: SuccessFn, slots: int) -> None:
        """Count from nothing.

        Args:
            name: the environment's, for people.
            verdict: hem's success function.
            slots: how many.
        """
        self._name, self._verdict = name, verdict
        self._goals: dict[int, np.ndarray] = {}  # desired ones, by slot
        self._by_hem = np.zeros(slots, bool)  # episodes that were called a success already
        self._by_env = np.zeros(slots, bool)
        self._rewards: set[float] = set()  # up to three different ones
        self._both, self._one = 0, 0  # steps that both call a success, or only one of the two

    def begin(self, slots: Sequence[int], frames: StepResult) -> None:
        """Take note of episodes that begin."""
        where = np.asarray(slots)
        self._goals |= dict(zip(slots, frames.goal, strict=True))
        self._by_hem[where] = self._verdict.success(frames.achieved, frames.goal)
        self._by_env[where] = False

    def step(self, slots: Sequence[int], frames: StepResult) -> None:
        """Take note of a step of some episodes.

        Raises:
            WorldError: there are too many contradictions; it shows the latest.
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
            count = f"{self._one} of the {among} steps that either calls a success"
            raise WorldError(f"{self._name} contradicts hem: {example.described(self._verdict)}; "
                             f"so in {count}: {REMEDY}")  # fmt: skip

    def _paid(self, reward: np.ndarray) -> np.ndarray:
        """What rewards say of success, i8[n]: nothing unless they are those of goals."""
        if len(self._rewards) <= 2:
            self._rewards |= {*reward.tolist()}
        known = self._verdict.rewards
        if known is None or self._rewards != {*known}:
            return np.full(len(reward), UNSAID)
        return np.where(reward == known[0], YES, NO)

    def _clear(self, achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Where single precision tells the distance from the threshold, bool[n]."""
        threshold = self._verdict.threshold
        if threshold is None:
            return np.ones(len(goal), bool)
        return np.abs(distances(achieved, goal) - threshold) > blur_of(threshold, goal)


class Example(NamedTuple):
    """A step that is a success for one of the two only."""

    achieved: np.ndarray
    goal: np.ndarray
    hem: bool
    reward: float
    said: int  # by info

    def described(self, verdict: SuccessFn) -> str:
        """What each says of it."""
        words = f"reward {self.reward:g}"
        if self.said != UNSAID:
            words += f", is_success {self.said == YES}"
        mine, other = ("a", "no") if self.hem else ("no", "a")
        return (
            f"achieved {shown(self.achieved)} with {shown(self.goal)} desired is {mine} success "
            f"by hem's function ({verdict.how}), and {other} success by its own word ({words})"
        )
