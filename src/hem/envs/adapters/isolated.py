"""A process for what may die or hang while it is examined: ``python -m ... FD``. No JAX here.

There a function is called that yields its result, once, and cleans up. It may take its time as long
as it says that it goes on: it is given ``beat(share, moment)``, to be called before each thing that
somebody else's code does. Where it is found dead or silent, the latest moment tells where.
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
from hem.errors import UserError, WorldError
from hem.system.subprocesses import Link, connected, finish, has_ended, launch

SHUTDOWN_S = 2.0  # seconds that the process has to clean up
STARTING = 300.0  # seconds at least that it has to start
LOOK = 1.0  # seconds between looks at whether it is alive

Beat = Callable[[float, str], Any]  # (share of the work that is done, what comes now)


def still(share: float, moment: str) -> None:
    """A beat for where nobody listens."""


def call(
    name: str,
    target: str,
    arguments: tuple,
    patience: float,
    on_progress: Callable[[float], Any] = lambda share: None,
) -> Any:
    """Call a function in a process of its own, and return what it yields.

    Args:
        name: the environment's, for people.
        target: the function as ``module:name``.
        arguments: plain data; ``beat`` comes after them.
        patience: seconds that the function may be silent.
        on_progress: called with the share of the work that is done.

    Raises:
        UserError: the function raised one.
        WorldError: the process died or hung.
    """
    link = launch(__name__)
    try:
        with contextlib.suppress(OSError):  # then it has died, which is found out next
            link.connection.send((target, arguments))
        return _result(name, link, patience, on_progress)
    finally:
        finish(link, time.monotonic() + SHUTDOWN_S)


def _result(name: str, link: Link, patience: float, on_progress: Callable[[float], Any]) -> Any:
    moment, left = "", max(patience, STARTING)
    while True:
        kind, value = _message(name, link, left, moment)
        if kind == "beat":
            share, moment = value
            on_progress(share)
            left = patience
        elif kind == "done":
            return pickle.loads(value)
        else:
            raise {"world": WorldError, "user": UserError}[kind](value)


def _message(name: str, link: Link, patience: float, moment: str) -> tuple[str, Any]:
    """The next message of the process.

    Raises:
        WorldError: it died, or there was none.
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
        raise WorldError(
            f"{name} gave no answer for {patience:g} s {moment}: fix it, or give it more time "
            "with --patience"
        )
    cause = env_errors.ended(finish(link, time.monotonic() + SHUTDOWN_S))
    raise WorldError(f"{name} {cause} {moment}: fix it")


def main(descriptor: int) -> None:
    """Call what the parent asks for."""
    connection = connected(descriptor)
    target, arguments = connection.recv()
    module, _, function = target.partition(":")
    called = getattr(importlib.import_module(module), function)
    with contextlib.suppress(OSError):  # nobody wants to know any more
        for message in _answers(called, arguments, lambda *beat: connection.send(("beat", beat))):
            connection.send(message)


def _answers(called: Any, arguments: tuple, beat: Beat) -> Iterator[tuple[str, Any]]:
    try:
        with contextlib.contextmanager(called)(*arguments, beat) as result:
            yield "done", cloudpickle.dumps(result)
    except UserError as error:
        yield "world" if isinstance(error, WorldError) else "user", str(error)


if __name__ == "__main__":
    main(int(sys.argv[1]))
