"""How a run stands, in words and as a picture of a few lines, for rich."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hem.errors import one_line
from hem.training.metrics import MetricsRow, progress_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

WINDOW = 30.0  # seconds of training over which speeds are measured
WIDTH = 100  # columns at most
BLOCKS, ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
EVAL, ROLLOUT, LOSS = "eval/success_rate", "rollout/success_rate", "train/loss"


class RunDisplay:
    """What is known about a run, in words and as a display for rich.

    One thread adds while another draws, without a lock: values are replaced, never mutated.
    """

    def __init__(self, title: str, total: int, lines: int = 2) -> None:
        """Know nothing yet.

        Args:
            title: What is running.
            total: Environment steps at which the run ends; of an offline run, updates.
            lines: Height of its curve.
        """
        self._title, self._total, self._lines = one_line(title), max(1, total), lines
        self._row: MetricsRow = {}  # the latest value of everything
        self._recent: deque[tuple[float, float, float]] = deque()  # wall_s, progress, updates
        self._evals: list[tuple[float, float]] = []  # progress, success
        self._earlier: float | None = None  # seconds of training before ``begin``
        self.begin()

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._latest = time.monotonic()
        self._ended: float | None = None

    def end(self) -> None:
        """Stop the clock: what is known now is the end."""
        self._ended, self._earlier = self._began, self._row.get("wall_s", 0.0)

    def add_past(self, rows: Sequence[MetricsRow]) -> None:
        """Add rows from before now, and start the clock at the time of the last one."""
        for row in rows:
            self.add(row)
        if rows:
            self._earlier = rows[-1].get("wall_s", 0.0)
        self.begin()

    def add(self, row: MetricsRow) -> None:
        """Add the latest row."""
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
        row, now = self._row, time.monotonic() if self._ended is None else self._ended
        steps, rates = progress_of(row), {"evaluation": EVAL, "rollout": ROLLOUT}
        is_offline = steps > 0 == row.get("env_steps", 0)
        success = [f"{name} success {row[key]:.2f}" for name, key in rates.items() if key in row]
        elapsed = (self._earlier or 0.0) + now - self._began
        unit = "updates" if is_offline else "steps"
        done = [f"{steps:,} of {self._total:,} {unit}", f"{clock(elapsed)} elapsed"]
        fast = [f"loss {row[LOSS]:.3g}"] if LOSS in row else []
        old, new = (self._recent[0], self._recent[-1]) if self._recent else ((0.0,) * 3,) * 2
        seconds, advance, updates = (b - a for a, b in zip(old, new, strict=True))
        if seconds > 0 and advance > 0 and self._ended is None:
            left = (self._total - steps) * seconds / advance - (now - self._latest)
            done.append(f"{clock(left)} left")
            fast += [] if is_offline else [f"{_short(advance / seconds)} steps/s"]
            fast.append(f"{_short(updates / seconds)} updates/s")
        return [success, done, fast]

    def curve(self, width: int, blocks: str) -> list[str]:
        """Evaluation success from 0 to 1 over the whole run, in lines of ``width`` characters.

        Each column shows the last evaluation before its end; future columns are blank.
        """
        evals, levels, top = self._evals, [], 8 * self._lines
        past = math.ceil(width * min(1.0, progress_of(self._row) / self._total))
        for column in range(past):
            known = bisect_right(evals, (column + 1) / width * self._total, key=lambda e: e[0])
            success = evals[known - 1][1] if known else None
            levels.append(0 if success is None else min(top, max(1, round(top * success))))
        return [
            "".join(blocks[min(8, max(0, level - 8 * line))] for level in levels)
            for line in reversed(range(self._lines))
        ]

    def _scale(self) -> list[str]:
        """What stands beside each line of a tall curve."""
        if self._lines < 3:
            return [""] * self._lines
        return [" 1", *["  "] * (self._lines - 2), " 0"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.segment import Segment  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        scale = self._scale()
        width = min(options.max_width, WIDTH) - len(scale[0])
        line = partial(Text, no_wrap=True, overflow="ellipsis")
        yield line(self._title, style="bold")
        if self._evals:
            blocks = ASCII_BLOCKS if options.ascii_only else BLOCKS
            for row, mark in zip(self.curve(width, blocks), scale, strict=True):
                yield line(row.ljust(width) if mark else row, style="green").append(mark, "dim")
        done = progress_of(self._row)
        yield ProgressBar(self._total, done, width, complete_style="cyan", finished_style="cyan")
        yield Segment.line()  # bars do not end the line
        for parts in filter(None, self.words()):
            text = line("   ".join(parts))
            text.highlight_regex(r"(?<!\S)[\d.][^ /]*", "bold")
            text.highlight_words(["evaluation success"], "green")
            yield text


def clock(seconds: float) -> str:
    """A duration as a clock shows it: 0:07, or 1:02:03."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _short(value: float) -> str:
    """Three digits, with a suffix for thousands."""
    power = sum(value >= 999.5 * 1000**n for n in range(3))
    return f"{value / 1000**power:.3g}{('', 'k', 'M', 'G')[power]}"
