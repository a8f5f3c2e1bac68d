"""A separate process for code that may die or hang: ``python -m ... FD``. No JAX here.

It calls a function that yields its result once, then cleans up. The function may take any time as
long as it reports progress: it calls ``beat(share, when)`` before each call of third-party code. If
the process dies or falls silent, the latest ``when`` tells where.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle

from hem.envs.adapters import env_errors
from hem.errors import EnvError, UserError
from hem.system.subprocesses import Link, connected, finish, has_ended, launch

SHUTDOWN_S = 2.0  # seconds that the process has to clean up
STARTING = 300.0  # minimum seconds that it has to start
LOOK = 1.0  # seconds between checks whether it is alive

Beat = Callable[[float, str], Any]  # (share of the work that is done, what comes next)


def still(share: float, when: str) -> None:
    """A beat that does nothing."""


def call(
    name: str,
    target: str,
    arguments: tuple,
    patience: float,
    on_progress: Callable[[float], Any] = lambda share: None,
) -> Any:
    """Call a function in a separate process, and return what it yields.

    Args:
        name: the environment's display name.
        target: the function as ``module:name``.
        arguments: plain data; ``beat`` is passed after them.
        patience: seconds that the function may be silent.
        on_progress: called with the share of the work that is done.

    Raises:
        UserError: the function raised one.
        EnvError: the process died or hung.
    """
    link = launch(__name__)
    try:
        with contextlib.suppress(OSError):  # then it has died, which is detected next
            link.connection.send((target, arguments))
        return _result(name, link, patience, on_progress)
    finally:
        finish(link, time.monotonic() + SHUTDOWN_S)


def _result(name: str, link: Link, patience: float, on_progress: Callable[[float], Any]) -> Any:
    when, left = "", max(patience, STARTING)
    while True:
        kind, value = _message(name, link, left, when)
        if kind == "beat":
            share, when = value
            on_progress(share)
            left = patience
        elif kind == "done":
            return pickle.loads(value)
        else:
            raise {"env": EnvError, "user": UserError}[kind](value)


def _message(name: str, link: Link, patience: float, when: str) -> tuple[str, Any]:
    """The next message from the process.

    Raises:
        EnvError: it died, or sent nothing in time.
    """
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        try:
            if link.connection.poll(min(left, LOOK)):
                return link.connection.recv()
        except (EOFError, OSError):
            break
        if has_ended(link) and not link.connection.poll():
            break
    else:
        raise EnvError(
            f"{name} did not respond for {patience:g} s {when}: fix it, or give it more time "
            "with --patience"
        )
    cause = env_errors.ended(finish(link, time.monotonic() + SHUTDOWN_S))
    raise EnvError(f"{name} {cause} {when}: fix it")


def main(descriptor: int) -> None:
    """Call the function that the parent requests."""
    connection = connected(descriptor)
    target, arguments = connection.recv()
    module, _, function = target.partition(":")
    called = getattr(importlib.import_module(module), function)
    with contextlib.suppress(OSError):  # the parent is gone
        for message in _answers(called, arguments, lambda *beat: connection.send(("beat", beat))):
            connection.send(message)


def _answers(called: Any, arguments: tuple, beat: Beat) -> Iterator[tuple[str, Any]]:
    try:
        with contextlib.contextmanager(called)(*arguments, beat) as result:
            yield "done", cloudpickle.dumps(result)
    except UserError as error:
        yield "env" if isinstance(error, EnvError) else "user", str(error)


if __name__ == "__main__":
    main(int(sys.argv[1]))
