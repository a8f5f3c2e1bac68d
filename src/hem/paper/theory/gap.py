"""Success, its lower bound and the gap between them, as expectation maximization goes on (Eq. 5).

log J(pi) - log Z = L(pi, q) + KL(q || p(trajectory, goal | O = 1)), and here Z = 1. The three are
computed apart: J without trajectories, L from p and q, and the divergence from the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hem.paper.theory import bound
from hem.paper.theory.bound import Array, Pair
from hem.paper.theory.problems import Problem

EStep = Callable[[Array, list[Pair]], Array]


class Bounded(NamedTuple):
    """What Eq. 5 says of a policy and a q."""

    iteration: float  # a half: after an E-step
    log_success: float  # log J
    bound: float  # L
    gap: float  # KL(q || posterior)


class Path(NamedTuple):
    """An episode of n steps, by the numbers of its states."""

    states: Sequence[int]  # n + 1
    actions: Sequence[int]  # n


def measured(problem: Problem, pi: Array, q: Array, iteration: float) -> Bounded:
    """Success, bound and gap of a policy ``pi`` f64[action, state, goal] and a ``q`` over pairs."""
    return Bounded(
        iteration,
        float(np.log(problem.objective(pi))),
        bound.lower_bound(pi, q, problem.pairs),
        divergence(q, bound.posterior(pi, problem.pairs)),
    )


def divergence(q: Array, p: Array) -> float:
    """KL(q || p), infinite where p is 0 and q is not."""
    some = q > 0
    with np.errstate(divide="ignore"):
        return float(q[some] @ (np.log(q[some]) - np.log(p[some])))


def maximize(problem: Problem, e_step: EStep, rounds: int) -> list[Bounded]:
    """Alternate E-steps and full M-steps (Eq. 6 and 7), from the uniform policy."""
    pi, history = problem.uniform, []
    for number in range(rounds):
        q = e_step(pi, problem.pairs)
        history.append(measured(problem, pi, q, number + 0.5))
        pi = bound.m_step(q, problem.pairs, pi)
        history.append(measured(problem, pi, q, number + 1))
    return history


def of_replay(problem: Problem, paths: Iterable[Path], discount: float) -> Array:
    """The q of which hEM's E-step draws the steps, with the strategy ``geometric``, over pairs.

    See ``hem.algorithms.hem.policy_part``: a trajectory is the part of an episode from a step i to
    the time k of its goal, with q(i, k) proportional to Q(i, k) - Q(i - 1, k), where Q is the
    probability of a drawn pair. As in the theory, it is cut where it first reaches the goal.
    """
    number = {(p.goal, p.steps, p.visited): i for i, p in enumerate(problem.pairs)}
    q = np.zeros(len(problem.pairs))
    for states, actions in paths:
        steps = len(actions)
        before = np.zeros(steps + 1)  # Q(i - 1, k)
        for i in range(steps):
            now = np.zeros(steps + 1)
            now[i + 1 :] = discount ** np.arange(1, steps - i + 1)
            now /= steps * now.sum()
            for k in range(i + 1, steps + 1):
                end = 1 + list(states).index(states[k], i + 1)
                taken = tuple(zip(states[i : end - 1], actions[i : end - 1], strict=True))
                pair = number[states[k], taken, tuple(states[i + 1 : end])]
                q[pair] += now[k] - before[k]
            before = now
    return q / q.sum()
