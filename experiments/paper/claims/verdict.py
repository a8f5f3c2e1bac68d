"""Verdicts, and the comparisons that they come from.

A comparison is of interquartile means over runs with 95% intervals (``hem.paper.statistics``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.paper.results import NotTestedError, Results
from hem.paper.statistics import estimate
from hem.paper.table import spread

HOLDS, PARTLY, FAILS, UNTESTED = "holds", "holds partly", "does not hold", "not tested"
MARGIN = 0.05  # of success: less is no difference, whatever the intervals
GOOD, NOTHING = 0.9, 0.1  # success that solves a task, and that is no progress


class Verdict(NamedTuple):
    """A judgment, and the numbers behind it."""

    word: str
    evidence: str


class Part(NamedTuple):
    """One of the things that a claim needs."""

    holds: bool
    evidence: str


class Claim(NamedTuple):
    """A row of the table."""

    id: str
    says: str  # in our words
    source: str  # in the paper
    judge: Callable[[Results], Verdict]
    why: str = ""  # the reason where it differs, as far as it is known


def judged(claim: Claim, results: Results) -> Verdict:
    """The claim's verdict; not tested where a result is missing."""
    try:
        return claim.judge(results)
    except NotTestedError as missing:
        return Verdict(UNTESTED, f"needs {missing}")


def together(parts: Sequence[Part]) -> Verdict:
    """All parts hold, some do, or none does."""
    held = sum(part.holds for part in parts)
    word = HOLDS if held == len(parts) else PARTLY if held else FAILS
    return Verdict(word, "; ".join(part.evidence for part in parts))


def is_above(a: np.ndarray, b: np.ndarray, margin: float = MARGIN) -> bool:
    """Whether a[runs] is clearly above b[runs]: by a margin, and intervals do not overlap.

    Raises:
        NotTestedError: there are fewer than three runs of one, and so no interval.
    """
    if min(len(a), len(b)) < 3:
        raise NotTestedError("three runs of each line")
    one, other = estimate([a]), estimate([b])
    return bool(one.low > other.high and one.mean - other.mean >= margin)


def is_alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether neither of a[runs] and b[runs] is clearly above the other."""
    return not is_above(a, b) and not is_above(b, a)


def mean(values: np.ndarray) -> float:
    """The interquartile mean of values[runs]."""
    return float(estimate([values]).mean)


def said(values: np.ndarray) -> str:
    """An interquartile mean with its interval, in words."""
    return spread(estimate([values]))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent p of y ~ x^p, by least squares on logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
