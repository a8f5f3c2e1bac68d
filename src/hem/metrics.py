"""The record of a run: ``metrics.jsonl``, an object a line, and the same as TensorBoard events."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from hem.files import write_text

Row = dict[str, Any]


class Recorder:
    """Appends rows to a run folder. A context manager."""

    def __init__(self, folder: Path, iteration: int) -> None:
        """Open the record in ``folder``, forgetting rows after ``iteration``.

        They are of iterations that a killed process had done but not saved, and will come again.
        """
        from tensorboardX import SummaryWriter  # noqa: PLC0415  costs 0.1 s, only runs pay it

        path = folder / "metrics.jsonl"
        kept = [row for row in read(path) if row["iteration"] <= iteration]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_text(path, lines)
        self._file = path.open("a", encoding="utf-8")
        purge_step = kept[-1]["env_steps"] + 1 if kept else None
        self.last = kept[-1] if kept else None  # the row that the run goes on from
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step)

    def write(self, row: Row) -> None:
        """Append a row; tags with a slash also go to TensorBoard, at the row's ``env_steps``."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for tag, value in row.items():
            if "/" in tag:
                self._events.add_scalar(tag, value, row["env_steps"])

    def sync(self) -> None:
        """Have all rows on the disk, as before a checkpoint that they belong to."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.flush()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._events.close()


def read(path: Path) -> list[Row]:
    """The rows of a ``metrics.jsonl``; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
