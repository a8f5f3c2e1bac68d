"""Watch runs that other processes train: a live display, or a line for each new row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, Group

from hem.errors import UserError, one_line, require
from hem.looking.watch_display import WatchDisplay, row_words
from hem.runs.advice import advised_for
from hem.runs.manifest import CONFIG, read_manifest
from hem.runs.run_folder import is_held
from hem.system.conversion import fill
from hem.system.parsing import AbsentError
from hem.training import metrics
from hem.training.metrics import MetricsRow
from hem.training.schedule import RunConfig
from hem.viz.live import LiveDisplay, is_terminal

PAUSE_S = 0.5  # between looks
BUSY = 0.1  # share of the time at most that is spent on reading: training needs the processor


def watch(folders: Sequence[Path], console: Console | None = None) -> None:
    """Show runs until all of them have ended.

    On a terminal they are redrawn in place; elsewhere each new row is a line.

    Args:
        folders: the run folders.
        console: where to show them, if not on standard output.

    Raises:
        UserError: something is not a run folder, or cannot be read.
        KeyboardInterrupt: Ctrl-C; the display is left complete, and runs go on.
    """
    require(len(folders) > 0, "no run: give the folder of one")
    console = console or Console()
    runs = [WatchedRun(folder, is_alone=len(folders) == 1) for folder in folders]
    is_live = is_terminal(console)
    waiting = list(runs)
    with LiveDisplay(Group(*(run.display for run in runs)), console):
        while waiting:
            began = time.monotonic()
            for run in waiting:
                rows = run.look()
                if not is_live:
                    _print(run.lines(rows), console)
            waiting = [run for run in waiting if not run.has_ended]
            if waiting:
                time.sleep(max(PAUSE_S, (time.monotonic() - began) / BUSY))


def _print(lines: list[str], console: Console) -> None:
    for line in lines:  # not through rich, which would wrap it
        print(line, file=console.file, flush=True)


class WatchedRun:
    """A run folder that is read again and again."""

    def __init__(self, folder: Path, is_alone: bool = True) -> None:
        """Open it.

        Args:
            folder: the run folder.
            is_alone: whether no other one is shown beside it.

        Raises:
            UserError: it is not a run folder.
        """
        self.folder, self.has_ended = folder, False
        self._prefix = "" if is_alone else f"{one_line(str(folder))}: "
        self._rows: list[MetricsRow] = []
        self._stamp: Any = None
        config = _config(folder)
        self._total = config.budget
        title = f"{config.algo} · {config.env} · {folder}"
        self._unit = config.unit
        self.display = WatchDisplay(title, self._total, self._unit, is_alone)

    def look(self) -> list[MetricsRow]:
        """Read what is new; rows that a resumed run repeats are new again."""
        is_running = is_held(self.folder)  # before reading, so that nothing is missed
        file = self.folder / "metrics.jsonl"
        stamp = _stamp(file), _stamp(self.folder / CONFIG)
        new: list[MetricsRow] = []
        if stamp != self._stamp:
            rows, self._stamp = metrics.read(file), stamp
            total = _config(self.folder).budget
            same = _common(self._rows, rows)
            new = rows[same:]
            is_longer = 0 < same == len(self._rows) and total == self._total
            self.display.show(rows, new if is_longer else None, total)
            self._rows, self._total = rows, total
        self.has_ended = not is_running
        self.display.note = self._note()
        if self.has_ended:
            self.display.end()
        return new

    def lines(self, rows: Sequence[MetricsRow]) -> list[str]:
        """New rows as a line each, and one more for the end if it has ended."""
        words = [row_words(row, self._total, self._unit) for row in rows]
        words += [self.display.note] if self.has_ended else []
        return [f"{self._prefix}{line}" for line in words]

    def _note(self) -> str:
        """What the run does now, or how to go on with it."""
        done = metrics.progress_of(self._rows[-1]) if self._rows else 0
        if not self.has_ended:
            return "training" if self._rows else "waiting for the first iteration"
        if done >= self._total:
            advice = f"Evaluate it with: {advised_for('evaluate', self.folder)}"
            return one_line(f"Done: {self.folder}. {advice}")
        stand = f"{done:,} of {self._total:,} {self._unit}"
        return one_line(f"Not running: {stand}. Go on with: {advised_for('resume', self.folder)}")


class _Config(NamedTuple):
    """What a run's configuration says of it."""

    env: str
    algo: str
    budget: int
    unit: str  # of the budget


def _config(folder: Path) -> _Config:
    file = folder / CONFIG
    try:
        config = read_manifest(file)
    except AbsentError as error:
        raise UserError(
            f"there is no run in {folder}, or it has not begun: it has no {CONFIG}. Give the "
            "folder of a run that `hem train` has begun"
        ) from error
    try:
        run = fill(RunConfig, config["run"])
    except UserError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    unit = "steps" if run.offline is None else run.unit
    return _Config(str(config["env"]), str(config["algo"]), run.budget, unit)


def _stamp(file: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _common(old: list[MetricsRow], new: list[MetricsRow]) -> int:
    """How many first rows are the same."""
    pairs = zip(old, new, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
