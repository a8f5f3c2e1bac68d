"""The scalars of a run for TensorBoard: a copy of its metrics, which it can go on without."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hem.system.atomic_io import refuse_link

PAUSE = 120.0  # seconds after which all is put on the disk, for those who watch


class Events:
    """Appends to a new file of events. What the disk refuses ends that file, and not the run.

    It is written by the thread that calls: one of tensorboardX's own dies unseen where the disk is
    full, and whoever adds events then waits for ever.
    """

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        """Begin a file in ``folder``, which is made if it is not there.

        Args:
            folder: of the events of a run.
            purge_step: earlier files of the run count up to here; None: there are none.

        Raises:
            UserError: the folder is a link to somewhere else.
        """
        refuse_link(folder)
        self._folder = folder
        self._failure: str | None = None
        self._flushed = time.monotonic()
        self._writer: Any = None
        self._attempt(lambda: self._begin(purge_step))

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Append values by their tags."""
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars.items()]
        if self._writer is not None:
            self._attempt(lambda: self._append(step=step, summary={"value": values}))
        if time.monotonic() - self._flushed > PAUSE:
            self.flush()

    def flush(self) -> None:
        """Have all on the disk."""
        self._flushed = time.monotonic()
        if self._writer is not None:
            self._attempt(self._writer.flush)

    def close(self) -> None:
        """End the file; nothing is written any more."""
        if self._writer is not None:
            self._attempt(self._writer.close)
        self._writer = None

    def failure(self) -> str | None:
        """Why the file has ended, to be told to the user; told once."""
        told, self._failure = self._failure, None
        return told

    def _begin(self, purge_step: int | None) -> None:
        from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415  0.1 s, for runs only

        self._folder.mkdir(exist_ok=True)
        token = secrets.token_hex(4)  # two files of one second are two
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{token}"
        self._writer = RecordWriter(str(self._folder.absolute() / name))  # not of a bucket, s3:...
        self._append(file_version="brain.Event:2")
        if purge_step is not None:
            self._append(step=purge_step, session_log={"status": 1})  # a session starts

    def _append(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import (  # noqa: PLC0415
            Event,  # pyright: ignore[reportAttributeAccessIssue]  made when it is imported
        )

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            reason = error.strerror or error
            self._failure = f"cannot write {self._folder} ({reason}): the run goes on without it"
            writer, self._writer = self._writer, None
            if writer is not None:
                with suppress(OSError):
                    writer.close()
