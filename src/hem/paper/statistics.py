"""Interquartile means with stratified bootstrap intervals (Agarwal et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean

DRAWS = 2000
LEVEL = 95.0  # percent


class Estimate(NamedTuple):
    """An interquartile mean and its interval; arrays of M points for learning curves."""

    mean: np.ndarray  # f64[] or f64[M]
    low: np.ndarray
    high: np.ndarray


def iqm(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half of scores[N, ...] along the first axis."""
    return np.asarray(trim_mean(scores, 0.25, axis=0))


def estimate(strata: Sequence[np.ndarray], draws: int = DRAWS) -> Estimate:
    """The interquartile mean over all scores, with a 95% interval over seeds.

    The bootstrap draws seeds anew within each stratum, so that each task keeps its number of runs.
    Below 3 runs a bootstrap says nothing: then the interval is the range of the runs.

    Args:
        strata: scores[runs, ...] of each task; the number of runs may differ.
        draws: of the bootstrap.
    """
    scores = np.concatenate(strata)
    mean = iqm(scores)
    if min(len(stratum) for stratum in strata) < 3:
        if len(strata) > 1:  # the runs of different tasks have no common range
            return Estimate(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
        return Estimate(mean, scores.min(axis=0), scores.max(axis=0))
    rng = np.random.default_rng(0)
    chosen = [s[rng.integers(0, len(s), (draws, len(s)))] for s in strata]
    drawn = trim_mean(np.concatenate(chosen, axis=1), 0.25, axis=1)
    low, high = np.percentile(drawn, [50 - LEVEL / 2, 50 + LEVEL / 2], axis=0)
    return Estimate(mean, np.asarray(low), np.asarray(high))


def on_grid(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Curves interpolated to one grid: its M points where all have begun, and values[runs, M].

    A curve that has ended keeps its last value.
    """
    grid = np.unique(np.concatenate(xs))
    grid = grid[grid >= max(x[0] for x in xs)]
    if len(grid) > 60:  # more than evaluations in a curve
        grid = np.linspace(grid[0], grid[-1], 60)
    return grid, np.stack([np.interp(grid, x, y) for x, y in zip(xs, ys, strict=True)])
