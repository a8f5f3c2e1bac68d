"""One step, k actions, k goals: gradient noise without and with hindsight (section 2.2).

An action b is sampled from a softmax over logits L[b, g'] and succeeds if it is the goal: r = 1[b =
g']. Goals are uniform. Each estimator is a random k x k array of derivatives with respect to all
logits L[a, g]; its error is the mean squared error divided by the square of the true gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Outcome(NamedTuple):
    """One possible outcome."""

    probability: float
    estimate: Array  # f64[k, k], of the gradient
    score: Array  # f64[k, k], d log pi(b | g') / dL, whose mean is 0


class Moments(NamedTuple):
    """First and second moments of an estimator."""

    mean: Array  # f64[k, k]
    variance: Array  # f64[k, k]
    with_score: Array  # f64[k, k], covariance with the score, per logit
    of_score: Array  # f64[k, k], variance of the score


Outcomes = Callable[[Array], Iterator[Outcome]]


def policy(logits: Array) -> Array:
    """pi(a | g) f64[k, k], one column per goal."""
    e = np.exp(logits - logits.max(0))
    return e / e.sum(0)


def objective(logits: Array) -> float:
    """J: the probability that the action is the goal, with uniform goals."""
    return float(np.trace(policy(logits)) / len(logits))


def reinforce(logits: Array) -> Iterator[Outcome]:
    """The policy gradient for the desired goal: r d log pi (Theorem 1)."""
    k, pi = len(logits), policy(logits)
    for goal in range(k):
        for action in range(k):
            score = _score(pi, action, goal)
            yield Outcome(pi[action, goal] / k, (action == goal) * score, score)


def hindsight(logits: Array) -> Iterator[Outcome]:
    """The M-step's gradient with the action as the goal in hindsight, divided by k (Theorem 2).

    At uniform policies, the factor 1/k corrects for choosing the goal after the action, so that the
    mean is the gradient of J. At other policies it is not.
    """
    k, pi = len(logits), policy(logits)
    for goal in range(k):
        for action in range(k):
            score = _score(pi, action, action)
            yield Outcome(pi[action, goal] / k, score / k, score)


def moments(outcomes: Outcomes, logits: Array) -> Moments:
    """Exact moments, by enumerating all outcomes."""
    p, x, s = (np.array(each) for each in zip(*outcomes(logits), strict=True))

    def mean(values: Array) -> Array:
        return np.tensordot(p, values, 1)

    mean_x, mean_s = mean(x), mean(s)
    return Moments(
        mean=mean_x,
        variance=mean(x * x) - mean_x**2,
        with_score=mean(x * s) - mean_x * mean_s,
        of_score=mean(s * s) - mean_s**2,
    )


def relative_error(m: Moments) -> Array:
    """The mean squared error over the square of the mean, per logit, f64[k, k]."""
    return m.variance / m.mean**2


def relative_error_with_control(m: Moments) -> Array:
    """The same, with the best multiple of the score subtracted from each logit's estimate."""
    return (m.variance - m.with_score**2 / m.of_score) / m.mean**2


def relative_error_with_baseline(m: Moments) -> float:
    """The same for all logits together, with the best single multiple of the score subtracted."""
    best = m.with_score.sum() / m.of_score.sum()
    return float((m.variance - best * m.with_score).sum() / (m.mean**2).sum())


def sampled_error(
    outcomes: Outcomes, logits: Array, samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Monte Carlo estimate of the first logit's relative error, and its standard error."""
    every = list(outcomes(logits))
    true = moments(reinforce, logits).mean[0, 0]
    squared = np.array([(o.estimate[0, 0] - true) ** 2 for o in every]) / true**2
    probability = np.array([o.probability for o in every])
    drawn = squared[rng.choice(len(every), samples, p=probability / probability.sum())]
    return float(drawn.mean()), float(drawn.std(ddof=1) / np.sqrt(samples))


def _score(pi: Array, action: int, goal: int) -> Array:
    """d log pi(action | goal) / dL[a, g] = 1[g = goal] (1[a = action] - pi(a | goal))."""
    score = np.zeros_like(pi)
    score[:, goal] = -pi[:, goal]
    score[action, goal] += 1
    return score
