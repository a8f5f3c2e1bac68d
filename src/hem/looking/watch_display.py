"""What ``hem watch`` draws of a run: its curve, its latest evaluations, and what it does now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hem.training.metrics import MetricsRow, progress_of
from hem.viz.run_display import EVAL, LOSS, ROLLOUT, RunDisplay

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

FINAL = "eval/final_success_rate"
LATEST = 6  # evaluations in the table
TABLE = 48  # columns that it needs
TALL = 5  # lines of the curve of a single run


class WatchDisplay:
    """A run for rich. One thread changes it while another draws: values are replaced."""

    def __init__(self, title: str, total: int, unit: str, is_alone: bool) -> None:
        """Begin with no rows.

        Args:
            title: what is running.
            total: steps or updates at which the run ends.
            unit: which of them.
            is_alone: whether there is room for a tall curve and a table.
        """
        self._title, self._unit, self._is_alone = title, unit, is_alone
        self._evaluations: list[MetricsRow] = []
        self._run = self._new(total)
        self.note = ""

    def show(
        self, rows: Sequence[MetricsRow], new: Sequence[MetricsRow] | None, total: int
    ) -> None:
        """Replace the rows.

        Args:
            rows: all of them.
            new: those of them that were added just now; None if that is not all that has changed.
            total: steps or updates at which the run ends now.
        """
        if new is None:
            run = self._new(total)
            run.add_past(rows)
            self._run = run
        else:
            for row in new:
                self._run.add(row)
        self._evaluations = [row for row in rows if EVAL in row][-LATEST:]

    def end(self) -> None:
        """Stop the clock."""
        self._run.end()

    def _new(self, total: int) -> RunDisplay:
        return RunDisplay(self._title, total, TALL if self._is_alone else 2)

    def _table(self) -> Table:
        from rich import box  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=box.SIMPLE, pad_edge=False, header_style="dim")
        for head in (self._unit, "seconds", "any step", "last step", "loss"):
            table.add_column(head, justify="right", no_wrap=True)
        for row in self._evaluations:
            rates = (f"{row[key]:.3f}" if key in row else "" for key in (EVAL, FINAL))
            loss = f"{row[LOSS]:.3g}" if LOSS in row else ""
            table.add_row(f"{progress_of(row):,}", f"{row['wall_s']:,.1f}", *rates, loss)
        return table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text  # noqa: PLC0415

        yield self._run
        if self._is_alone and self._evaluations and options.max_width >= TABLE:
            yield self._table()
        yield Text(self.note, style="dim", overflow="fold")


def row_words(row: MetricsRow, total: int, unit: str) -> str:
    """A row as one line of words."""
    words = [
        f"{progress_of(row):,} of {total:,} {unit}",
        f"{row['wall_s']:.1f} s",
    ]
    names = {
        "evaluation success": EVAL,
        "at the last step": FINAL,
        "rollout success": ROLLOUT,
    }
    words += [f"{name} {row[key]:.2f}" for name, key in names.items() if key in row]
    words += [f"loss {row[LOSS]:.3g}"] if LOSS in row else []
    return ", ".join(words)
