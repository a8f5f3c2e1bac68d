"""Speed, as ratios to a limit or a peer measured in the same run. ``make bench`` runs them all.

Each module has ``measure() -> list[Figure]``; those that begin with an underscore are for use by
others. Machines are noisy: what is compared is measured in turn, A B A B. Then the best of several
tries counts for both sides, or, where other jobs would spoil even that, the median of the ratios
within a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypedDict

import numpy as np

LASTS = 0.25  # s, at least about, of what is measured by its rate


class Figure(TypedDict):
    """One line of the table."""

    name: str
    value: float
    unit: str
    ratio: float | None  # of the value to ``against``
    against: str


class Runner(NamedTuple):
    """Something that is measured."""

    run: Callable[[], object]
    items: int  # that a run gets done


def best_seconds(*timed: Callable[[], object], tries: int = 5) -> list[float]:
    """The best time of each function, taken in turn so that drift hits all alike."""
    return list(_seconds(timed, tries).min(axis=0))


def rates(runners: dict[str, Runner], turns: int) -> dict[str, np.ndarray]:
    """Items a second of each, in each of the turns; quick runs are repeated within a turn."""
    lasting = [_lasting(runner) for runner in runners.values()]
    seconds = _seconds([runner.run for runner in lasting], turns)
    return {name: lasting[i].items / seconds[:, i] for i, name in enumerate(runners)}


def compared(name: str, unit: str, measured: np.ndarray, mark: str, marked: np.ndarray) -> Figure:
    """The line of what was measured in the same turns as a mark: medians, also of the ratio."""
    return Figure(
        name=name,
        value=float(np.median(measured)),
        unit=unit,
        ratio=float(np.median(measured / marked)),
        against=f"{mark} ({np.median(marked):,.0f})",
    )


def _lasting(runner: Runner) -> Runner:
    runner.run()  # compiles
    start = time.perf_counter()
    runner.run()
    repeats = max(1, round(LASTS / (time.perf_counter() - start)))
    return Runner(lambda: [runner.run() for _ in range(repeats)], repeats * runner.items)


def _seconds(timed: tuple | list, turns: int) -> np.ndarray:
    for function in timed:
        function()  # compiles, and warms what can be warmed
    seconds = np.empty((turns, len(timed)))
    for turn in seconds:
        for i, function in enumerate(timed):
            start = time.perf_counter()
            function()
            turn[i] = time.perf_counter() - start
    return seconds
