"""Train every run of a suite, and show how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hem.errors import UserError, require
from hem.runs.run_folder import on_disk
from hem.runs.suites.engines import InTurn, OnRay
from hem.runs.suites.execute import Result, conflict, is_complete
from hem.runs.suites.suite_file import PlannedRun
from hem.runs.suites.summary import reached, summarize
from hem.system.packages import is_installed
from hem.system.signals import defer_signals
from hem.viz.run_display import clock

LOCK = ".suite.lock"


class Outcome(NamedTuple):
    """How a suite ended."""

    complete: int
    failed: dict[str, str]  # folder -> one line


def run_suite(
    runs: Sequence[PlannedRun],
    out: Path,
    engine: InTurn | OnRay,
    retries: int = 1,
    success: float = 0.95,
    quiet: bool = False,
    console: Console | None = None,
) -> Outcome:
    """Train the runs that are not complete yet; the others go on where one fails.

    Args:
        runs: what to train, in folders below ``out``.
        out: the root of all run folders.
        engine: where.
        retries: how often a failed run is tried again, from its last checkpoint.
        success: the rate that "steps to" asks for.
        quiet: show nothing.
        console: where to show progress; by default standard error.

    Raises:
        UserError: another suite runs in ``out``, or a folder has a run with other settings.
        KeyboardInterrupt: stopped; the runs in progress have saved everything.
    """
    require(retries >= 0, f"retries must be at least 0, not {retries}")
    require(0 < success <= 1, f"success must be above 0, at most 1, not {success}")
    with on_disk(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / LOCK).acquire(blocking=False)
    except Timeout:
        raise UserError(f"another suite is running in {out}: wait for it") from None
    with lock, _Board(runs, engine, success, quiet, console) as board:
        for run in runs:
            if (difference := conflict(run)) is not None:
                raise UserError(
                    f"{run.folder} has a run with other settings ({difference}): give another "
                    "--out, or move it away"
                )
        pending = [run for run in runs if not is_complete(run)]
        board.begin(pending)
        if pending:
            with engine:
                for ended in engine.results(pending, retries):
                    board.update(ended)
    return Outcome(len(runs) - len(board.failed), board.failed)


class _Board:
    """The table of variants, and how far the suite is. A context manager."""

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        engine: InTurn | OnRay,
        success: float,
        quiet: bool,
        console: Console | None,
    ) -> None:
        self._runs, self._engine, self._success = runs, engine, success
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._live: Live | None = None
        self._pending: list[PlannedRun] = []
        self._ended: list[Result] = []
        self._began = time.monotonic()
        self.failed: dict[str, str] = {}

    def begin(self, pending: list[PlannedRun]) -> None:
        """The runs that are to be trained."""
        self._pending, self._began = pending, time.monotonic()
        self._say(f"{len(pending)} of {len(self._runs)} runs to train, {self._engine.name}")

    def update(self, ended: tuple[PlannedRun, Result] | None) -> None:
        """Take note of a run that has ended."""
        if ended is not None:
            run, result = ended
            self._ended.append(result)
            if result.error is not None:
                self.failed[str(run.folder)] = result.error
            state = "failed" if result.error else "done"
            self._say(f"{state}: {run.folder} ({len(self._ended)} of {len(self._pending)})")
        if self._live is not None:
            self._live.update(self._drawn())

    def _say(self, text: str) -> None:
        if self._live is None and not self._quiet:
            print(text, file=self._console.file, flush=True)

    def _drawn(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for name in ("variant", "runs", "success", f"steps to {self._success:g}", "seconds"):
            table.add_column(name, justify="left" if name == "variant" else "right")
        for variant in dict.fromkeys(run.variant for run in self._runs):
            folders = [run.folder for run in self._runs if run.variant == variant]
            found = [r for folder in folders if (r := reached(folder, self._success))]
            cells = ["", "", ""]
            if found:
                line = summarize(variant, found)
                mean, low, high = line.success
                steps = f"{line.arrived} of {line.runs}"
                steps = steps if line.steps_to is None else f"{line.steps_to:,.0f}"
                cells = [f"{mean:.2f} ({low:.2f} to {high:.2f})", steps, f"{line.seconds:,.0f}"]
            table.add_row(variant, f"{len(found)}/{len(folders)}", *cells)
        return Group(table, Text(self._status()))

    def _status(self) -> str:
        done, elapsed = len(self._ended), time.monotonic() - self._began
        words = [f"{done} of {len(self._pending)} runs", f"{clock(elapsed)} elapsed"]
        spent = sum(result.seconds for result in self._ended)
        if done:
            left = (len(self._pending) - done) * spent / done / max(1, self._engine.at_once)
            words.append(f"about {clock(left)} left")
            words.append(f"{spent / 3600:.2f} run hours")
        words += [f"{len(self.failed)} failed"] if self.failed else []
        return "   ".join(words)

    def __enter__(self) -> _Board:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(self._drawn(), console=self._console, refresh_per_second=2)
            with defer_signals():
                self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.update(self._drawn())
            with defer_signals():
                live.stop()


def engine_for(address: str | None, cores: int) -> InTurn | OnRay:
    """Ray if it is installed or asked for, else one run after the other."""
    require(cores >= 1, f"cores must be at least 1, not {cores}")
    if address is None and not is_installed("ray"):
        return InTurn()
    return OnRay(address, cores)
