"""Problems of few trajectories, on which the whole bound is a sum: everything is enumerated.

As in ``bound``, a trajectory for a goal ends when it first reaches it, after a step or more; R is 1
if it does, and Z = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from hem.paper.theory import bound
from hem.paper.theory.bound import Array, Pair


class Problem(NamedTuple):
    """All pairs of trajectory and goal, and J by another way than through them."""

    name: str
    pairs: list[Pair]
    uniform: Array  # f64[action, state, goal], the uniform policy
    objective: Callable[[Array], float]


def corridor() -> Problem:
    """Five rooms and slippery moves."""
    return Problem("corridor", bound.pairs(), bound.uniform(), bound.objective)


def bandit(k: int) -> Problem:
    """The paper's illustration (section 2.2): one step, and each of k actions reaches its goal."""
    pairs = [Pair(goal, ((0, arm),), (arm,), 1 / k) for goal in range(k) for arm in range(k)]
    uniform = np.full((k, 1, k), 1 / k)
    return Problem(f"{k} arms", pairs, uniform, lambda pi: float(np.trace(pi[:, 0]) / k))


def flip_bit(bits: int) -> Problem:
    """Flip one of K bits per step until all match the goal, in K steps; a state is a number."""
    states = 1 << bits
    pairs = [
        pair
        for start in range(states)
        for goal in range(states)
        for pair in _flips(bits, goal, start, (), (), 1 / states**2)
    ]
    uniform = np.full((bits, states, states), 1 / bits)
    return Problem(f"FlipBit, {bits} bits", pairs, uniform, lambda pi: _flip_objective(pi, bits))


def _flips(
    bits: int, goal: int, state: int, steps: tuple, visited: tuple, chance: float
) -> Iterator[Pair]:
    if (visited and visited[-1] == goal) or len(steps) == bits:
        yield Pair(goal, steps, visited, chance)
        return
    for bit in range(bits):
        then = state ^ (1 << bit)
        yield from _flips(bits, goal, then, (*steps, (state, bit)), (*visited, then), chance)


def _flip_objective(pi: Array, bits: int) -> float:
    """J by dynamic programming over the steps that are left."""
    states = np.arange(1 << bits)
    value = np.zeros((len(states), len(states)))  # of [state, goal]
    for _ in range(bits):
        ahead = np.where(np.eye(len(states), dtype=bool), 1, value)
        value = np.sum([pi[bit] * ahead[states ^ (1 << bit)] for bit in range(bits)], axis=0)
    return float(value.mean())
