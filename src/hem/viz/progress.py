"""The progress of a run on screen: a live display, or a line for each evaluation."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING

from hem.errors import one_line
from hem.training.metrics import MetricsRow
from hem.viz.live import LiveDisplay
from hem.viz.run_display import EVAL, RunDisplay

if TYPE_CHECKING:
    from rich.console import Console


class Progress:
    """Shows the progress of a run on standard error. A context manager.

    On a terminal it is drawn by a separate thread, a few times per second; elsewhere each
    evaluation is a plain line. Output errors do not stop the run.
    """

    def __init__(
        self,
        title: str,
        total: int,
        quiet: bool = False,
        console: Console | None = None,
        start: MetricsRow | None = None,
    ) -> None:
        """Prepare; nothing is shown yet.

        Args:
            title: What is running.
            total: Environment steps at which the run ends; of an offline run, updates.
            quiet: Show notes only.
            console: Where to show it, if not on standard error.
            start: The last row of the run that is resumed, if any.
        """
        from rich.console import Console  # noqa: PLC0415  40 ms, paid only by runs

        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._state = RunDisplay(title, total)
        self._live = LiveDisplay(self._state, self._console)
        if start is not None:
            self._state.add(start)

    def update(self, row: MetricsRow) -> None:
        """Add the latest row; one with ``eval/success_rate`` is an evaluation."""
        self._state.add(row)
        if EVAL in row and not self._live.is_drawn and not self._quiet:
            self._print(", ".join(itertools.chain(*self._state.words())))

    def note(self, text: str) -> None:
        """Show a line that stays: a warning, or where something was saved."""
        text = one_line(text)
        if not self._live.is_drawn:
            self._print(text)
        else:
            with suppress(OSError):
                self._console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Progress:
        self._state.begin()
        if not self._quiet:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__()

    def _print(self, text: str) -> None:
        # Not through rich, which would wrap it, and ends the process if a pipe is closed.
        with suppress(OSError):
            print(text, file=self._console.file, flush=True)
