"""Proposition 1 and the evidence lower bound (Eq. 5 and 8), exact on a problem of few trajectories.

A corridor of N rooms, in which each of two actions mostly moves one room in its direction. A
trajectory for a goal ends when it first reaches the goal (then R is 1), or after T steps; Z = 1.
The policy is a table pi(a | s, g), and everything is a sum over all pairs of trajectory and goal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

ROOMS, HORIZON, START = 5, 5, 2
MOVES = 0.8  # probability that an action moves in its direction; otherwise it moves in the other
GOALS = [s for s in range(ROOMS) if s != START]


class Pair(NamedTuple):
    """A trajectory and a goal."""

    goal: int
    steps: tuple[tuple[int, int], ...]  # (state, action)
    visited: tuple[int, ...]  # states after each step
    dynamics: float  # p(g), times the probabilities of the states given the actions

    @property
    def reached(self) -> bool:
        return self.goal in self.visited


class Round(NamedTuple):
    """An iteration of expectation maximization."""

    objective: float  # J(pi_i)
    before: float  # L(pi_i, q_i); in the first iteration equal to after_e
    after_e: float  # L(pi_i, q_{i+1})
    after_m: float  # L(pi_{i+1}, q_{i+1})


def move(state: int, action: int) -> int:
    """Where an action leads from a state; there are walls at both ends."""
    return min(max(state + (1 if action else -1), 0), ROOMS - 1)


def pairs() -> list[Pair]:
    """All possible pairs of goal and trajectory."""
    found = []

    def extend(goal: int, state: int, steps: tuple, visited: tuple, chance: float) -> None:
        if (visited and visited[-1] == goal) or len(steps) == HORIZON:
            found.append(Pair(goal, steps, visited, chance))
            return
        for action in (0, 1):
            taken = (*steps, (state, action))
            for moved, p in ((action, MOVES), (1 - action, 1 - MOVES)):
                then = move(state, moved)
                extend(goal, then, taken, (*visited, then), chance * p)

    for goal in GOALS:
        extend(goal, START, (), (), 1 / len(GOALS))
    return found


def chances(pi: Array, every: list[Pair]) -> Array:
    """p(g) p(trajectory | pi, g) of all pairs; ``pi`` f64[action, state, goal]."""
    return np.array([p.dynamics * np.prod([pi[a, s, p.goal] for s, a in p.steps]) for p in every])


def evidence(pi: Array, every: list[Pair]) -> float:
    """p(O = 1): the sum over all pairs of their probability times R / Z."""
    return float(chances(pi, every) @ [p.reached for p in every])


def objective(pi: Array) -> float:
    """J(pi), by dynamic programming, without enumerating trajectories."""
    total = 0.0
    for goal in GOALS:
        value = np.zeros(ROOMS)
        value[goal] = 1.0
        for _ in range(HORIZON):
            new = value.copy()
            for state in range(ROOMS):
                if state != goal:
                    left, right = value[move(state, 0)], value[move(state, 1)]
                    ahead = pi[:, state, goal] @ [[MOVES, 1 - MOVES], [1 - MOVES, MOVES]]
                    new[state] = ahead @ [left, right]
            value = new
        total += value[START]
    return float(total / len(GOALS))


def sampled_objective(pi: Array, samples: int, rng: np.random.Generator) -> tuple[float, float]:
    """J by running episodes, with its standard error."""
    goal = rng.choice(GOALS, samples)
    state, reached = np.full(samples, START), np.zeros(samples, bool)
    for _ in range(HORIZON):
        action = rng.random(samples) < pi[1, state, goal]
        moved = action ^ (rng.random(samples) >= MOVES)
        state = np.where(reached, state, np.clip(state + np.where(moved, 1, -1), 0, ROOMS - 1))
        reached |= state == goal
    return float(reached.mean()), float(reached.std(ddof=1) / np.sqrt(samples))


def lower_bound(pi: Array, q: Array, every: list[Pair]) -> float:
    """L(pi, q) of Eq. 5: the mean of log p(O = 1 | pair) under q, minus KL(q || p)."""
    p, some = chances(pi, every), q > 0
    if not all(pair.reached for pair, yes in zip(every, some, strict=True) if yes):
        return -np.inf
    with np.errstate(divide="ignore"):
        return float(-(q[some] @ (np.log(q[some]) - np.log(p[some]))))


def posterior(pi: Array, every: list[Pair]) -> Array:
    """The exact E-step: the optimal q = p(pair | O = 1)."""
    weight = chances(pi, every) * [p.reached for p in every]
    return weight / weight.sum()


def in_hindsight(pi: Array, every: list[Pair]) -> Array:
    """The hindsight E-step: an episode of pi, with a uniformly drawn visited room as its goal.

    The trajectory for that goal ends when it is first reached. R is 1 for all pairs, which
    maximizes the first term of Eq. 8; nothing controls the second.
    """
    index = {(p.goal, p.steps, p.visited): i for i, p in enumerate(every)}
    q, goals = np.zeros(len(every)), {pair.goal for pair in every}
    for chance, pair in zip(chances(pi, every), every, strict=True):
        rooms = sorted(set(pair.visited) & goals)
        for goal in rooms:
            end = pair.visited.index(goal) + 1
            q[index[goal, pair.steps[:end], pair.visited[:end]]] += chance / len(rooms)
    return q / q.sum()


def m_step(q: Array, every: list[Pair], old: Array) -> Array:
    """The full M-step (Eq. 7): action frequencies under q; ``old`` where q has no data."""
    counts = np.zeros_like(old)
    for weight, pair in zip(q, every, strict=True):
        for state, action in pair.steps:
            counts[action, state, pair.goal] += weight
    total = counts.sum(0)
    return np.where(total > 0, counts / np.where(total > 0, total, 1), old)


def maximize(pi: Array, rounds: int, e_step: Callable[[Array, list[Pair]], Array]) -> list[Round]:
    """Alternate E-steps and full M-steps from ``pi`` f64[action, state, goal]."""
    every = pairs()
    q, history = e_step(pi, every), []
    for _ in range(rounds):
        before = lower_bound(pi, q, every)
        q = e_step(pi, every)
        after_e, now = lower_bound(pi, q, every), objective(pi)
        pi = m_step(q, every, pi)
        history.append(Round(now, before, after_e, lower_bound(pi, q, every)))
    return history


def uniform() -> Array:
    """The uniform policy, f64[action, state, goal]."""
    return np.full((2, ROOMS, ROOMS), 0.5)
