"""Search for a threshold on the distance between goals that agrees with rewards.

A threshold is tested on several hundred pairs: from random episodes, equal ones, and ones about as
far apart as the threshold. Pairs whose distance single precision cannot tell from it do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hem.envs.spaces.forms import Form

Reward = Callable[[np.ndarray, np.ndarray], float]  # (achieved[G], goal[G]) -> reward


class GoalSamples(NamedTuple):
    """M goals from random episodes, in hem's form."""

    form: Form
    achieved: np.ndarray  # [M, *G]
    desired: np.ndarray  # [M, *G]


class ThresholdSearch:
    """Rewards of pairs of goals, computed as needed."""

    LINES, BISECTION_STEPS, DOUBLINGS = 12, 40, 60

    def __init__(self, evidence: GoalSamples, reward: Reward) -> None:
        self.evidence, self.reward = evidence, reward
        self._rng = np.random.default_rng(0)
        self._met = self._meetings()
        self._rewards = self._of(*self._met)

    def values(self) -> list[float]:
        """The distinct rewards, highest first."""
        return sorted({*map(float, self._rewards)}, reverse=True)

    def hit(self) -> float:
        """The reward if both goals are the same."""
        goal = self.evidence.desired[0]
        return self.reward(goal, goal)

    def unrewarded(self) -> np.ndarray | None:
        """A goal that does not get the highest reward when it is achieved exactly, if any."""
        a, g = self._met
        equal = (a == g).reshape(len(g), -1).all(axis=1)
        odd = equal & (self._rewards < self._rewards.max())
        return g[odd][0] if odd.any() else None

    def agrees(self, threshold: float) -> int:
        """Number of pairs on which rewards and the threshold agree; 0 if they disagree on any.

        They agree if every pair within the threshold has a higher reward than any pair beyond it.
        """
        a, g = self._met
        rewards = self._rewards
        if self.evidence.form.is_real:
            more = self._jitters(threshold)
            a, g = np.concatenate([a, more[0]]), np.concatenate([g, more[1]])
            rewards = np.concatenate([rewards, self._of(*more)])
        distance = distances(a, g)
        clear = np.abs(distance - threshold) > blur_of(threshold, g)
        near, rewards = distance[clear] <= threshold, rewards[clear]
        if not near.any() or near.all():
            return 0
        return int(clear.sum()) if rewards[near].min() > rewards[~near].max() else 0

    def on_lines(self) -> float | None:
        """The distance at which the reward changes along every line, if it is the same."""
        goals = np.concatenate([self.evidence.desired, self.evidence.achieved])
        scale = float(np.median(distances(goals, np.roll(goals, 1, axis=0)))) or 1.0
        found = []
        for line in range(self.LINES):
            start = goals[self._rng.integers(len(goals))].astype(np.float64)
            other = goals[self._rng.integers(len(goals))]
            way = other - start if line % 2 else self._rng.normal(size=start.shape)
            length = np.linalg.norm(way)
            if length > 0:
                edge = self._edge(start, way / length, scale)
                if edge is None:
                    return None
                found.append(edge)
        if not found:
            return None
        middle = float(np.median(found))
        blur = 1e-4 * middle + 1e-6 * float(np.abs(goals).max())
        return _shortest(middle, blur) if np.abs(np.array(found) - middle).max() <= blur else None

    def between_values(self) -> float | None:
        """A distance that separates rewarded pairs from the others, if there is one."""
        rewarded = self._rewards >= self.hit()
        distance = distances(*self._met)
        if rewarded.all() or not rewarded.any():
            return None
        last, first = float(distance[rewarded].max()), float(distance[~rewarded].min())
        return _shortest((last + first) / 2, (first - last) / 4) if last < first else None

    def _edge(self, start: np.ndarray, way: np.ndarray, scale: float) -> float | None:
        goal = start.astype(np.float32)
        hit = self.reward(goal, goal)

        def reached(far: float) -> bool:
            return self.reward((start + far * way).astype(np.float32), goal) == hit

        low, high = 0.0, scale
        for _ in range(self.DOUBLINGS):
            if not reached(high):
                break
            low, high = high, 2 * high
        else:
            return None
        for _ in range(self.BISECTION_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if reached(middle) else (low, middle)
        return (low + high) / 2

    def _meetings(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs from episodes, and pairs of goals from them, including equal pairs."""
        _, achieved, desired = self.evidence
        n = 150
        some, others, wanted = (self._rng.integers(len(x), size=n)
                                for x in (achieved, achieved, desired))  # fmt: skip
        pairs = [
            (achieved[:n], desired[:n]),
            (achieved[some], achieved[others]),
            (achieved[some], desired[wanted]),
            (desired[wanted], desired[wanted]),
            (achieved[some], achieved[some]),
        ]
        if not self.evidence.form.is_real:
            pairs.append(self._drawn(2 * n))
        a, g = zip(*pairs, strict=True)
        return np.concatenate(a), np.concatenate(g)

    def _drawn(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of integer goals: neighbors of those from episodes."""
        form, desired = self.evidence.form, self.evidence.desired
        goal = desired[self._rng.integers(len(desired), size=n)]
        if form.dtype == np.int8 or form.dtype == np.uint8:
            return desired[self._rng.integers(len(desired), size=n)], goal
        step = self._rng.integers(-2, 3, size=goal.shape)
        return goal + step.astype(goal.dtype), goal

    def _jitters(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of goals about as far apart as the threshold, in any direction."""
        desired = self.evidence.desired
        goal = desired[self._rng.integers(len(desired), size=300)].astype(np.float64)
        way = self._rng.normal(size=goal.shape)
        way[::3] = np.eye(goal.shape[1])[self._rng.integers(goal.shape[1], size=len(way[::3]))]
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        far = threshold * self._rng.choice([0.3, 0.9, 0.99, 1.01, 1.1, 3.0], size=(len(goal), 1))
        return (goal + far * way).astype(np.float32), goal.astype(np.float32)

    def _of(self, achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return np.array([self.reward(*pair) for pair in zip(achieved, goal, strict=True)])


def blur_of(threshold: float, goals: np.ndarray) -> float:
    """The uncertainty of a distance from single precision and the order of summation."""
    return 1e-4 * threshold + 8 * float(np.finfo(np.float32).eps) * float(np.abs(goals).max())


def distances(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pair, f64[N]."""
    apart = a.astype(np.float64) - g.astype(np.float64)
    return np.sqrt((apart.reshape(len(a), -1) ** 2).sum(1))


def _shortest(value: float, blur: float) -> float:
    """The number with the fewest digits within ``blur`` of ``value``."""
    for digits in range(1, 17):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= blur:
            return rounded
    return value
