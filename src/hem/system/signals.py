"""Ctrl-C and SIGTERM as a flag that the loop checks, so nothing is interrupted halfway."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class StoppedBySignalError(Exception):
    """Training was stopped by a signal and has saved everything."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number  # of the signal


@contextmanager
def terminable() -> Iterator[None]:
    """While entered, SIGTERM interrupts as Ctrl-C does, so everything is cleaned up.

    What cleans up sees a ``KeyboardInterrupt``, as ``SystemExit`` may be an environment's own. A
    program that handles or ignores the signal itself goes on doing so.

    Raises:
        SystemExit: there was one.
    """
    was_sent = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal was_sent
        was_sent = True
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        if not was_sent:
            raise
        raise SystemExit(128 + signal.SIGTERM) from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def same_sigterm() -> Iterator[None]:
    """Undo what the block, such as the start of a library, does to the handling of SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Even if Python knows of no change: one made in C; of a handler from there it knows None.
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only raises a flag; a second one does as before.

    Call it to check: ``should_stop = StopRequest(); ... if should_stop(): ...``. Outside the main
    thread, where Python allows no signal handlers, the flag is never raised.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


@contextmanager
def defer_signals() -> Iterator[None]:
    """Defer a first Ctrl-C or SIGTERM until the block is done."""
    asked = StopRequest()
    try:
        with asked:
            yield
    finally:
        if asked.signal is not None:
            signal.raise_signal(asked.signal)


def python_error(number: int) -> BaseException:
    """What Python raises for a stop signal; the program's own handler is called first.

    Call it once the previous signal handlers are restored.
    """
    handler = signal.getsignal(number)
    if callable(handler) and handler is not signal.default_int_handler:
        signal.raise_signal(number)
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
