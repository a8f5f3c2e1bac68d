"""Metrics of a run: ``metrics.jsonl``, one object per line, and the same as TensorBoard events."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from hem.errors import UserError
from hem.system.atomic_io import refuse_link, write_text
from hem.system.parsing import (
    LARGEST,
    AbsentError,
    Count,
    Number,
    Seconds,
    Share,
    open_file,
    parse_json,
)
from hem.training.tensorboard import Events

MetricsRow = dict[str, Any]
TAGS = {"eval_success": "eval/success_rate", "rollout_success": "rollout/success_rate"}


class Known(msgspec.Struct, rename=TAGS.get):
    """The types of these fields, the first of which every row has; other fields are any numbers."""

    iteration: Count
    env_steps: Count  # 0 in a run that learns offline, whose progress is updates
    wall_s: Seconds
    episodes: Count = 0
    updates: Count = 0
    eval_success: Share = 0.0
    rollout_success: Share = 0.0


class Recorder:
    """Appends rows to a run folder. A context manager."""

    def __init__(self, folder: Path, iteration: int) -> None:
        """Open the record in ``folder``, dropping rows after ``iteration``.

        They are from iterations that a killed process did not save, and will be repeated.
        """
        refuse_link(folder / "tensorboard")
        path = folder / "metrics.jsonl"
        kept = read_until(path, iteration)
        self._rewrite(path, kept)
        self.last = kept[-1] if kept else None  # the row that the run resumes from
        rates = (row.get("eval/success_rate") for row in kept)
        self.successes = [rate for rate in rates if rate is not None]  # of earlier evaluations
        purge_step = progress_of(self.last) + 1 if self.last else None
        self._events = Events(folder / "tensorboard", purge_step)

    def write(self, row: MetricsRow) -> None:
        """Append a row; tags with a slash also go to TensorBoard, at the row's progress.

        Non-finite values are written as null, which ``read`` leaves out: JSON has no NaN.
        """
        self._file.write(_as_line(row))
        self._file.flush()
        self._draw(row, progress_of(row))

    def complete(self, row: MetricsRow) -> None:
        """Replace the last row by one that is the same but has its evaluation.

        The file is replaced as a whole, so a kill loses neither.
        """
        *earlier, last = read(self._path)
        self._file.close()
        self._rewrite(self._path, [*earlier, row])
        new = {tag: value for tag, value in row.items() if tag not in last}
        self._draw(new, progress_of(row))

    def _rewrite(self, path: Path, rows: list[MetricsRow]) -> None:
        write_text(path, "".join(map(_as_line, rows)))
        self._path = path
        self._file = path.open("a", encoding="utf-8")  # the file just written, not a link

    def _draw(self, row: MetricsRow, progress: int) -> None:
        scalars = {tag: value for tag, value in row.items() if "/" in tag}
        self._events.write(scalars, progress)

    def sync(self) -> None:
        """Flush all rows to disk, as before the checkpoint that they belong to."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.flush()

    def failure(self) -> str | None:
        """What optional output could not be written, to tell the user; returned once."""
        return self._events.failure()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        self._file.close()


def is_at(rate: float, success: float) -> bool:
    """Whether a success rate of a row is at least ``success``; as a float32, 0.95 is below 0.95."""
    return round(rate, 6) >= success


def progress_of(row: MetricsRow) -> int:
    """How far the run was: environment steps or, where it takes none, updates."""
    return row.get("env_steps", 0) or row.get("updates", 0)


def read(path: Path) -> list[MetricsRow]:
    """The rows of a ``metrics.jsonl``; a last line cut short by a crash is left out.

    Raises:
        UserError: it cannot be read, or another line is damaged.
    """
    try:
        with open_file(path) as stream:
            lines = [*_lines(stream)]
    except AbsentError:
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_parsed(line, f"line {number} of {path}"))
        except UserError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise UserError(f"{error}. Fix or remove that line") from error
    return rows


class NewRows:
    """The rows that are appended to a ``metrics.jsonl`` while it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._number = path, 0, 0

    def __call__(self) -> list[MetricsRow]:
        """The rows since the last call, at first all; errors as in ``read``."""
        with open_file(self._path) as stream:
            stream.seek(self._read)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        first, lines = self._number + 1, (whole + newline).splitlines()
        self._number += len(lines)
        return [_parsed(line, f"line {n} of {self._path}") for n, line in enumerate(lines, first)]


def read_until(path: Path, iteration: int) -> list[MetricsRow]:
    """The rows up to an iteration; errors as in ``read``."""
    return [row for row in read(path) if row["iteration"] <= iteration]


def _as_line(row: MetricsRow) -> str:
    finite = {tag: value if math.isfinite(value) else None for tag, value in row.items()}
    return json.dumps(finite) + "\n"


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(LARGEST + 1):
        yield line


def _parsed(line: bytes, name: str) -> MetricsRow:
    fields = parse_json(line, dict[str, Number | None], name)
    row = {tag: value for tag, value in fields.items() if value is not None}
    try:
        msgspec.convert(row, Known)
    except msgspec.ValidationError as error:
        raise UserError(f"{name} is damaged: {error}") from error
    return row
