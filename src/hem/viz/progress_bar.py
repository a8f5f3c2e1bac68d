"""A progress bar for what takes more than a few seconds, on a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PATIENCE = 2.0  # seconds before anything is shown


class Bar:
    """Shows on standard error how much is done. A context manager, called with the share so far.

    Nothing is shown outside a terminal, and output errors stop nothing.
    """

    def __init__(
        self, title: str, console: Console | None = None, patience: float = PATIENCE
    ) -> None:
        """Prepare; nothing is shown yet.

        Args:
            title: What is being done.
            console: Where to show it, if not on standard error.
            patience: Seconds before the bar appears.
        """
        from rich.console import Console  # noqa: PLC0415  40 ms, paid only here

        self._console = console or Console(stderr=True)
        self._title, self._patience = title, patience
        self._bar: Progress | None = None

    def __enter__(self) -> Bar:
        self._began = time.monotonic()
        return self

    def __call__(self, share: float) -> None:
        """Update the share done, 0 to 1."""
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        if not terminal or time.monotonic() - self._began < self._patience:
            return
        with suppress(OSError):
            if self._bar is None:
                self._bar = self._prepared()
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=share)

    def __exit__(self, *_: object) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(OSError):
                bar.stop()

    def _prepared(self) -> Progress:
        from rich.progress import Progress  # noqa: PLC0415

        # Redirect only streams that also go to the terminal.
        bar = Progress(
            console=self._console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        bar.add_task(self._title, total=1.0)
        return bar
