"""The scalars of a run for TensorBoard: a copy of its metrics that it can do without."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hem.system.atomic_io import refuse_link

PAUSE = 120.0  # seconds between flushes to disk, for live viewing


class Events:
    """Appends to a new file of events. A disk error ends that file, and not the run.

    It is written by the calling thread: tensorboardX's own thread dies silently when the disk is
    full, and adding events then blocks forever.
    """

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        """Begin a file in ``folder``, which is created if it is missing.

        Args:
            folder: the event folder of a run.
            purge_step: earlier files of the run count up to here; None: there are none.

        Raises:
            UserError: the folder is a link.
        """
        refuse_link(folder)
        self._folder = folder
        self._failure: str | None = None
        self._flushed = time.monotonic()
        self._writer: Any = None
        self._attempt(lambda: self._begin(purge_step))

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Append scalars by tag."""
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars.items()]
        if self._writer is not None:
            self._attempt(lambda: self._append(step=step, summary={"value": values}))
        if time.monotonic() - self._flushed > PAUSE:
            self.flush()

    def flush(self) -> None:
        """Flush everything to disk."""
        self._flushed = time.monotonic()
        if self._writer is not None:
            self._attempt(self._writer.flush)

    def close(self) -> None:
        """Close the file; nothing more is written."""
        if self._writer is not None:
            self._attempt(self._writer.close)
        self._writer = None

    def failure(self) -> str | None:
        """Why the file has ended, to tell the user; returned once."""
        told, self._failure = self._failure, None
        return told

    def _begin(self, purge_step: int | None) -> None:
        from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415  0.1 s, for runs only

        self._folder.mkdir(exist_ok=True)
        token = secrets.token_hex(4)  # keeps files of the same second apart
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{token}"
        self._writer = RecordWriter(str(self._folder.absolute() / name))  # not a bucket, s3:...
        self._append(file_version="brain.Event:2")
        if purge_step is not None:
            self._append(step=purge_step, session_log={"status": 1})  # a session starts

    def _append(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import (  # noqa: PLC0415
            Event,  # pyright: ignore[reportAttributeAccessIssue]  created on import
        )

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            reason = error.strerror or error
            self._failure = f"cannot write {self._folder} ({reason}): the run continues without it"
            writer, self._writer = self._writer, None
            if writer is not None:
                with suppress(OSError):
                    writer.close()
