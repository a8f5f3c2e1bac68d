"""A display that is redrawn in place, on a terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from hem.system.signals import defer_signals

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

REDRAWS = 4  # per second, so that the clock visibly runs


class LiveDisplay:
    """Draws something by a thread of its own, a few times per second. A context manager.

    Elsewhere than on a terminal it draws nothing. Output errors stop nothing.
    """

    def __init__(self, shown: RenderableType, console: Console) -> None:
        self._shown, self._console = shown, console
        self._live: Live | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether it is on screen now."""
        return self._live is not None

    def __enter__(self) -> LiveDisplay:
        if not is_terminal(self._console):
            return self
        from rich.live import Live  # noqa: PLC0415

        # Redirect only streams that also go to the terminal.
        self._live = Live(
            get_renderable=lambda: self._shown,
            console=self._console,
            refresh_per_second=REDRAWS,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        try:
            with defer_signals():  # an interrupted start would leave no cursor
                self._live.start(refresh=True)
        except BaseException:  # Ctrl-C even here
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        live, self._live = self._live, None
        if live is not None:
            with defer_signals(), suppress(OSError):
                live.stop()


def is_terminal(console: Console) -> bool:
    """Whether something can be redrawn in place there."""
    return console.is_terminal and not console.is_dumb_terminal
