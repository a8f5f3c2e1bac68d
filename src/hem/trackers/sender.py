"""The thread that sends a run to a tracker, by following the ``metrics.jsonl`` of its training."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Protocol

from hem.errors import one_line
from hem.trackers.tracked_run import Results, TrackedRun, tracked_run
from hem.training.metrics import MetricsRow, NewRows

PAUSE_S = 2.0  # between two looks at the file


class Tracker(Protocol):
    """What a tracker can do. It is called by the thread only, and may take its time, or fail."""

    name: str

    def open(self, tracked: TrackedRun) -> int:
        """Find or create the tracker's run, and return the last iteration that it has; 0: none."""
        ...

    def log(self, rows: list[MetricsRow]) -> None:
        """Send rows."""
        ...

    def close(self, results: Results) -> None:
        """Send results and end the session."""
        ...


class Sender(threading.Thread):
    """Sends each row that the tracker does not have, and then the results."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        super().__init__(name=f"hem-{tracker.name}", daemon=True)
        self._tracker, self._folder = tracker, folder
        self._complete: float = 0
        self._results: Results | None = None
        self._over = threading.Event()
        self._given_up = False

    def complete_until(self, iteration: float) -> None:
        """Say that the rows up to an iteration will not change any more."""
        self._complete = iteration

    def end(self, results: Results, wait_s: float) -> None:
        """Say that the session is over, and wait for the rest to be sent, but not forever."""
        self._results = results
        self._over.set()
        self.join(wait_s)
        if self.is_alive():
            self._given_up = True
            say(
                f"{self._tracker.name} did not take everything in {wait_s:g} s: resume to try again"
            )

    def run(self) -> None:
        """Send until the session is over; a failure is told once, and ends it."""
        try:
            self._follow()
        except Exception as error:  # a tracker may do anything, and training goes on
            reason = f"{type(error).__name__}: {error}"
            if not self._given_up:
                say(f"{self._tracker.name} failed, and the run goes on without it ({reason})")

    def _follow(self) -> None:
        sent = self._tracker.open(tracked_run(self._folder, self._tracker.name))
        new_rows, waiting, best = NewRows(self._folder / "metrics.jsonl"), [], -1.0
        is_over = False
        while not is_over:
            is_over = self._over.wait(PAUSE_S)
            complete, waiting = self._complete, waiting + new_rows()
            due = [row for row in waiting if row["iteration"] <= complete]
            waiting = waiting[len(due) :]
            best = max([best, *(row.get("eval/success_rate", -1.0) for row in due)])
            if missing := [row for row in due if row["iteration"] > sent]:
                self._tracker.log(missing)
        assert self._results is not None
        self._tracker.close(self._results._replace(best=None if best < 0 else best))


def say(text: str) -> None:
    """Show a line on standard error."""
    print(f"hem: {one_line(text, 400)}", file=sys.stderr, flush=True)
