"""Where in goal space a policy succeeds and where it fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hem.runs.policy_episodes import policy_episodes
from hem.runs.run import Run
from hem.training.evaluation import outcome, wilson

AT_ONCE = 100  # episodes between two signs of life
MOST_COORDINATES = 3  # that a map shows, two at a time
CELLS = 5  # of a map along each coordinate
FEWEST = 5  # episodes in a cell from which a rate says something
MOST_BARS = 12  # distinct distances that have a bar each; more are put into bins
BINS = 8


class Judged(NamedTuple):
    """N episodes of policies, and how they ended; lost ones are left out."""

    goal: np.ndarray  # [N, *G]
    start: np.ndarray  # [N, *G]        the goal that was achieved at the start
    success: np.ndarray  # bool[N]      at any step
    final_success: np.ndarray  # bool[N]  at the last step


class Cell(NamedTuple):
    """A rectangle in two coordinates, and the success of the goals in it."""

    x: tuple[float, float]
    y: tuple[float, float]
    success: float
    episodes: int


class Bar(NamedTuple):
    """Success of the episodes whose distance is in a range."""

    low: float
    high: float
    success: float
    interval: tuple[float, float]  # 95%, Wilson
    episodes: int


def judge(run: Run, episodes: int, seed: int, done: Callable[[float], Any]) -> Judged:
    """Run the policy on fresh goals, the same that ``hem evaluate`` takes.

    Args:
        run: the run.
        episodes: number of episodes, N if none is lost.
        seed: of the episodes.
        done: called with the share of the episodes that are done.
    """
    parts, count = [], 0
    for task, part in policy_episodes(run, episodes, seed, AT_ONCE):
        result = outcome(task, part)
        kept = np.asarray(result.steps) > 0
        found = (part.goal, part.achieved[:, 0], result.success, result.final_success)
        parts.append(Judged(*(np.asarray(values)[kept] for values in found)))
        count += len(kept)
        done(count / episodes)
    return pooled(parts)


def pooled(parts: Sequence[Judged]) -> Judged:
    """The episodes of all of them."""
    return jax.tree.map(lambda *values: np.concatenate(values), *parts)


def map_coordinates(goal: np.ndarray) -> list[int]:
    """The coordinates of goals [N, *G] that a map can show, those that vary most first.

    Bits, which take two values, make no map, and neither do images: then there are none.
    """
    if goal.ndim != 2:
        return []
    varied = [i for i in range(goal.shape[1]) if len(np.unique(goal[:, i])) > 2]
    varied.sort(key=lambda i: -float(goal[:, i].std()))
    return varied[:MOST_COORDINATES] if len(varied) > 1 else []


def cells(judged: Judged, x: int, y: int) -> list[Cell]:
    """The cells of the map in two coordinates that have enough episodes."""
    values = judged.goal[:, [x, y]].astype(float)
    low, high = values.min(0), values.max(0)
    width = (high - low) / CELLS
    place = np.minimum((values - low) // width, CELLS - 1).astype(int)
    found = []
    for i, j in np.ndindex(CELLS, CELLS):
        inside = judged.success[(place == (i, j)).all(1)]
        if len(inside) >= FEWEST:
            left, bottom = low + width * (i, j)
            right, top = low + width * (i + 1, j + 1)
            found.append(Cell((left, right), (bottom, top), float(inside.mean()), len(inside)))
    return found


def rate_by_goal(judged: Judged, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """The K distinct goals [K, 2] in two coordinates, and the success rate [K] of each."""
    spots, which = np.unique(judged.goal[:, [x, y]], axis=0, return_inverse=True)
    count = np.bincount(which.ravel(), minlength=len(spots))
    reached = np.bincount(which.ravel(), judged.success, minlength=len(spots))
    return spots, reached / count


def is_binary(judged: Judged) -> bool:
    """Whether goals are bits."""
    return bool(np.isin(judged.goal, (0, 1)).all())


def distances(judged: Judged) -> np.ndarray:
    """f64[N]: how far the goal is at the start; for bits, how many differ."""
    apart = judged.goal.astype(float) - judged.start
    apart = apart.reshape(len(apart), -1)
    return np.abs(apart).sum(1) if is_binary(judged) else np.linalg.norm(apart, axis=1)


def bars(judged: Judged) -> list[Bar]:
    """Success against the distance to the goal at the start, nearest first."""
    far = distances(judged)
    edges = np.unique(far)
    if len(edges) > MOST_BARS:
        edges = np.unique(np.quantile(far, np.linspace(0, 1, BINS + 1)))
        bounds = list(itertools.pairwise(edges))
    else:
        bounds = [(edge, edge) for edge in edges]
    starts = np.array([low for low, _ in bounds])
    place = np.searchsorted(starts, far, side="right") - 1
    found = []
    for i, (low, high) in enumerate(bounds):
        reached = judged.success[place == i]
        interval = wilson(int(reached.sum()), len(reached))
        found.append(Bar(float(low), float(high), reached.mean(), interval, len(reached)))
    return found
