"""Speed, as ratios to a limit or a peer measured in the same run. ``make bench`` runs them all.

Each module has ``measure() -> list[Figure]``. Machines are noisy: what is compared is measured in
turn, A B A B, and the best of several tries counts for both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypedDict


class Figure(TypedDict):
    """One line of the table."""

    name: str
    value: float
    unit: str
    ratio: float | None  # of the value to ``against``
    against: str


def best_seconds(*timed: Callable[[], object], tries: int = 5) -> list[float]:
    """The best time of each function, taken in turn so that drift hits all alike."""
    for function in timed:
        function()  # compiles, and warms what can be warmed
    best = [float("inf")] * len(timed)
    for _ in range(tries):
        for i, function in enumerate(timed):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best
