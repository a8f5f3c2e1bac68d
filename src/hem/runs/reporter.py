"""Report iterations: to the run's metrics and on the terminal."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from rich.console import Console

from hem.runs.run import Run
from hem.training.loop import Step
from hem.training.metrics import Recorder
from hem.viz.progress import Progress


class Reporter:
    """Records rows in the run's folder and shows them. A context manager."""

    def __init__(
        self, run: Run, title: str, iteration: int, quiet: bool, console: Console | None
    ) -> None:
        """Open the record, forgetting rows after ``iteration``."""
        self._on_disk = run.on_disk
        with self._on_disk():
            self._recorder = Recorder(run.folder, iteration)
        budget = run.experiment.run.budget
        self._progress = Progress(title, budget, quiet, console, start=self._recorder.last)
        self._open = ExitStack()

    @property
    def last(self) -> dict[str, Any]:
        """The row that the run goes on from."""
        return self._recorder.last or {}

    @property
    def successes(self) -> list[float]:
        """The success rates of the evaluations before that."""
        return self._recorder.successes

    def note(self, text: str) -> None:
        """Show a line that stays."""
        self._progress.note(text)

    def report(self, step: Step, completes: bool) -> None:
        """Record and show an iteration, or complete the row of the last one."""
        with self._on_disk():
            (self._recorder.complete if completes else self._recorder.write)(step.row)
        self._progress.update(step.row)
        if failure := self._recorder.failure():
            self.note(failure)

    def sync(self) -> None:
        """Have all rows on the disk."""
        with self._on_disk():
            self._recorder.sync()

    def __enter__(self) -> Reporter:
        self._open.enter_context(self._recorder)
        self._open.enter_context(self._progress)
        return self

    def __exit__(self, *error: Any) -> None:
        with self._on_disk():
            self._open.__exit__(*error)


class Silent(Reporter):
    """For all workers but the leading one, which reports for them."""

    def __init__(self) -> None:
        pass

    @property
    def last(self) -> dict[str, Any]:
        return {}

    @property
    def successes(self) -> list[float]:
        return []

    def note(self, text: str) -> None:
        """Nothing."""

    def report(self, step: Step, completes: bool) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: Any) -> None:
        pass
