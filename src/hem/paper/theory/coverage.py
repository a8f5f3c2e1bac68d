"""Theorem 3: after a full M-step, J is at least the fraction of goals seen in hindsight.

It holds for tasks of one step. For longer tasks it holds if each goal was reached along one path
without loops; otherwise the M-step averages what different trajectories did in the same state, and
``detour`` is a case where the average reaches the goal less often than either.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np


def expected(episodes: int, goals: int) -> Fraction:
    """The mean of J over buffers of N uniform episodes: E|S| = k (1 - (1 - 1/k)^N)."""
    seen = goals * (1 - (1 - Fraction(1, goals)) ** episodes)
    return seen / goals + (1 - seen / goals) / goals


def enumerated(episodes: int, goals: int) -> tuple[Fraction, int]:
    """The same by enumerating all buffers, and the number for which J >= |supp q(g)| / |G|."""
    total, holds = Fraction(0), 0
    for actions in itertools.product(range(goals), repeat=episodes):
        success = _success(np.array(actions, int), goals)
        total += success
        holds += success >= Fraction(len(set(actions)), goals)
    return total / goals**episodes, holds


def sampled(
    episodes: int, goals: int, samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The same by Monte Carlo, with its standard error."""
    drawn = rng.integers(0, goals, (samples, episodes))
    success = np.array([float(_success(actions, goals)) for actions in drawn])
    return float(success.mean()), float(success.std(ddof=1) / np.sqrt(samples))


def _success(actions: np.ndarray, goals: int) -> Fraction:
    """J after the M-step on these episodes: pi(a | g) by counting, uniform if g was not seen."""
    counts = np.zeros((goals, goals), int)  # [action, goal]
    np.add.at(counts, (actions, actions), 1)  # in hindsight the goal is the action
    of_goal = [
        Fraction(int(counts[g, g]), int(counts[:, g].sum()))
        if counts[:, g].any()
        else Fraction(1, goals)
        for g in range(goals)
    ]
    return sum(of_goal, Fraction(0)) / goals


def detour(horizon: int) -> Fraction:
    """A counterexample: success within ``horizon`` steps where Theorem 3 promises 1.

    From s0, R leads to the goal and L to s1, from which B leads back to s0. The buffer holds the
    two trajectories s0 R goal and s0 L s1 B s0 R goal, so two of the three actions at s0 are R. A
    policy fitted to the first trajectory alone always reaches the goal, and so does the greedy one.
    """
    right = Fraction(2, 3)
    at_start, success = Fraction(1), Fraction(0)
    for _ in range(0, horizon, 2):  # every second step is at s0
        success += at_start * right
        at_start *= 1 - right
    return success
