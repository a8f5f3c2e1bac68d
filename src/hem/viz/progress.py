"""The progress of a run on screen: a live display, or a line for each evaluation."""

from __future__ import annotations

import itertools
import math
import sys
import time
from bisect import bisect_right
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hem.errors import one_line
from hem.system.signals import defer_signals
from hem.training.metrics import MetricsRow, progress_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

WINDOW = 30.0  # seconds of training over which speeds are measured
REDRAWS = 4  # per second, so that the clock visibly runs
WIDTH = 100  # columns at most
BLOCKS, ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
EVAL, ROLLOUT, LOSS = "eval/success_rate", "rollout/success_rate", "train/loss"


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
        self._live: Live | None = None
        self._state = _State(one_line(title), max(1, total))
        if start is not None:
            self._state.add(start)

    def update(self, row: MetricsRow) -> None:
        """Add the latest row; one with ``eval/success_rate`` is an evaluation."""
        self._state.add(row)
        if EVAL in row and self._live is None and not self._quiet:
            self._print(", ".join(itertools.chain(*self._state.words())))

    def note(self, text: str) -> None:
        """Show a line that stays: a warning, or where something was saved."""
        text = one_line(text)
        if self._live is None:
            self._print(text)
        else:
            with suppress(OSError):
                self._console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Progress:
        self._state.begin()
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        if terminal and not self._quiet:
            from rich.live import Live  # noqa: PLC0415

            # Redirect only streams that also go to the terminal.
            self._live = Live(
                get_renderable=lambda: self._state,
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

    def _print(self, text: str) -> None:
        # Not through rich, which would wrap it, and ends the process if a pipe is closed.
        with suppress(OSError):
            print(text, file=self._console.file, flush=True)


class _State:
    """What is known about the run, in words and as a display for rich.

    One thread adds while another draws, without a lock: values are replaced, never mutated.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._row: MetricsRow = {}  # the latest value of everything
        self._recent: deque[tuple[float, float, float]] = deque()  # wall_s, progress, updates
        self._evals: list[tuple[float, float]] = []  # progress, success
        self._earlier: float | None = None  # seconds of training before ``begin``
        self.begin()

    def begin(self) -> None:
        self._began = self._latest = time.monotonic()

    def add(self, row: MetricsRow) -> None:
        now = time.monotonic()
        wall, steps = row.get("wall_s", 0.0), progress_of(row)
        self._row, self._latest = self._row | row, now
        if self._earlier is None:
            self._earlier = max(0.0, wall - (now - self._began))
        self._recent.append((wall, steps, row.get("updates", 0)))
        while len(self._recent) > 2 and self._recent[1][0] < wall - WINDOW:
            self._recent.popleft()
        if math.isfinite(row.get(EVAL, math.nan)):
            self._evals.append((steps, row[EVAL]))

    def words(self) -> list[list[str]]:
        """Lines of words: success, progress and speed."""
        row, now = self._row, time.monotonic()
        steps, rates = progress_of(row), {"evaluation": EVAL, "rollout": ROLLOUT}
        is_offline = steps > 0 == row.get("env_steps", 0)
        success = [f"{name} success {row[key]:.2f}" for name, key in rates.items() if key in row]
        elapsed = (self._earlier or 0.0) + now - self._began
        unit = "updates" if is_offline else "steps"
        done = [f"{steps:,} of {self._total:,} {unit}", f"{_clock(elapsed)} elapsed"]
        fast = [f"loss {row[LOSS]:.3g}"] if LOSS in row else []
        old, new = (self._recent[0], self._recent[-1]) if self._recent else ((0.0,) * 3,) * 2
        seconds, advance, updates = (b - a for a, b in zip(old, new, strict=True))
        if seconds > 0 and advance > 0:
            left = (self._total - steps) * seconds / advance - (now - self._latest)
            done.append(f"{_clock(left)} left")
            fast += [] if is_offline else [f"{_short(advance / seconds)} steps/s"]
            fast.append(f"{_short(updates / seconds)} updates/s")
        return [success, done, fast]

    def curve(self, width: int, blocks: str) -> list[str]:
        """Evaluation success from 0 to 1 over the whole run, two lines of ``width`` characters.

        Each column shows the last evaluation before its end; future columns are blank.
        """
        evals, levels = self._evals, []
        past = math.ceil(width * min(1.0, progress_of(self._row) / self._total))
        for column in range(past):
            known = bisect_right(evals, (column + 1) / width * self._total, key=lambda e: e[0])
            success = evals[known - 1][1] if known else None
            levels.append(0 if success is None else min(16, max(1, round(16 * success))))
        upper = "".join(blocks[max(0, level - 8)] for level in levels)
        return [upper, "".join(blocks[min(8, level)] for level in levels)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.segment import Segment  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        width = min(options.max_width, WIDTH)
        line = partial(Text, no_wrap=True, overflow="ellipsis")
        yield line(self._title, style="bold")
        if self._evals:
            blocks = ASCII_BLOCKS if options.ascii_only else BLOCKS
            yield from (line(row, style="green") for row in self.curve(width, blocks))
        done = progress_of(self._row)
        yield ProgressBar(self._total, done, width, complete_style="cyan", finished_style="cyan")
        yield Segment.line()  # bars do not end the line
        for parts in filter(None, self.words()):
            text = line("   ".join(parts))
            text.highlight_regex(r"(?<!\S)[\d.][^ /]*", "bold")
            text.highlight_words(["evaluation success"], "green")
            yield text


def _clock(seconds: float) -> str:
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _short(value: float) -> str:
    """Three digits, with a suffix for thousands."""
    power = sum(value >= 999.5 * 1000**n for n in range(3))
    return f"{value / 1000**power:.3g}{('', 'k', 'M', 'G')[power]}"
