"""What the callbacks of all trackers share."""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from hem.errors import NotStartedError, require
from hem.runs import film
from hem.runs.run import Run
from hem.runs.session import Iteration
from hem.system.packages import is_installed
from hem.system.signals import StoppedBySignalError
from hem.trackers.sender import Sender, say
from hem.trackers.tracked_run import Results, TrackedRun
from hem.training.metrics import MetricsRow

FILES = ("policy.safetensors", "policy.json", "config.json", "curve.png")
WAIT_S = {"finished": 60.0, "killed": 5.0, "failed": 5.0}  # for what is still to be sent


class TrackerCallback(ABC):
    """A callback for ``hem.train`` that sends each row of ``metrics.jsonl`` once.

    A thread does the sending, so training never waits for a tracker, and a tracker that fails is
    a line on standard error. Sessions of a run continue the same run of the tracker.
    """

    name: str  # of the tracker, its package and its extra

    def __init__(self) -> None:
        require(
            is_installed(self.name),
            f"{self.name} is not installed: run `pip install 'hindsight-em[{self.name}]'`",
        )
        self._sender: Sender | None = None
        self._active: Any = None

    def __call__(self, iteration: Iteration) -> None:
        # If its evaluation was interrupted, the latest row is completed by a later session.
        self._sending(iteration.folder).complete_until(iteration.counters.iteration - 1)

    def on_training_end(self, run: Run, error: BaseException | None) -> None:
        """Send what remains and, unless something ended training early, policy and film."""
        if isinstance(error, NotStartedError):
            return
        sender, self._sender = self._sending(run.folder), None
        if error is not None:
            status = "killed" if isinstance(error, StoppedBySignalError) else "failed"
            sender.end(Results(status), WAIT_S[status])
            return
        sender.complete_until(math.inf)
        with tempfile.TemporaryDirectory() as folder:
            filmed = _film(run, Path(folder)) if sender.is_alive() else None
            files = tuple(file for name in FILES if (file := run.folder / name).is_file())
            sender.end(Results("finished", files, filmed), WAIT_S["finished"])

    @abstractmethod
    def open(self, tracked: TrackedRun) -> int:
        """Find or create the tracker's run, and return the last iteration that it has; 0: none."""

    @abstractmethod
    def log(self, rows: list[MetricsRow]) -> None:
        """Send rows."""

    @abstractmethod
    def close(self, results: Results) -> None:
        """Send results and end the session."""

    @abstractmethod
    def active_run(self) -> Any:
        """The program's own active run, or None. If there is one, it receives everything.

        Called by the thread that trains.
        """

    def _sending(self, folder: Path) -> Sender:
        if self._sender is None:
            self._active = self.active_run()
            self._sender = Sender(self, folder)
            self._sender.start()
        return self._sender


def _film(run: Run, folder: Path) -> Path | None:
    """A film of the policy; None if the environment cannot be drawn."""
    try:
        return film.record(run, folder)
    except Exception as error:  # training is over and saved, whatever drawing does
        say(f"no film: {error}")
        return None
