"""Worker processes, each a fresh Python connected by a socket. No JAX here.

They are started as new programs and not forked, because a process that runs JAX has threads, and
so that a user's script needs no preparation. Only this module uses what Windows lacks: there, this
process does all the work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil

from hem.errors import require

GRACE = 5.0  # seconds that a process has to exit by itself once its parent is gone


class Link(NamedTuple):
    """A process, and this end of the socket to it."""

    process: subprocess.Popen
    connection: Connection


def usable_cores() -> int:
    """Count the cores this process may run on, which a batch system may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_launch() -> bool:
    """Whether this system supports worker processes: Linux and macOS do, Windows does not."""
    return hasattr(os, "killpg")


def launch(module: str, output: int = 2, also: Sequence[int] = ()) -> Link:
    """Start ``python -m module FD``, where FD is the other end of a socket.

    Args:
        module: to be run.
        output: where what is printed goes, as it must not get into what hem prints.
        also: descriptors that the process gets copies of; its arguments after FD name them.

    Raises:
        UserError: this system does not support worker processes.
    """
    require(
        can_launch(),
        "worker processes need Linux or macOS: --env-workers 0 runs the environment without them",
    )
    ours, theirs = socket.socketpair()
    with theirs:
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        environment = os.environ | {"PYTHONPATH": path}
        environment.setdefault("OMP_NUM_THREADS", "1")  # there is one process per core
        passed = [theirs.fileno(), *map(os.dup, also)]
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, passed)],
                pass_fds=passed,
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=output,
                stderr=output,
                env=environment,
                process_group=0,  # together with all processes that it starts
            )
        finally:
            for descriptor in passed[1:]:
                os.close(descriptor)
    return Link(process, Connection(ours.detach()))


def finish(link: Link, deadline: float) -> int:
    """End a process and all that it started, by force after the deadline; its exit status."""
    assert link.process.stdin is not None
    link.connection.close()
    link.process.stdin.close()
    while not has_ended(link) and time.monotonic() < deadline:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(link.process.pid, signal.SIGKILL)  # the group exists until it is waited for
    return link.process.wait()


def kill(link: Link) -> None:
    """End a process with all that it started, at once."""
    finish(link, time.monotonic())


def has_ended(link: Link) -> bool:
    """Whether a process has ended, without collecting its exit status."""
    if link.process.returncode is not None:
        return True
    try:
        return psutil.Process(link.process.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # something else has waited for it
        return True


def connected(descriptor: int, grace: float = GRACE) -> Connection:
    """In the worker: the connection to its parent; it exits ``grace`` seconds after its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    parent = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)  # an environment that asks for input gets none
    threading.Thread(target=_watch, args=(parent, grace), daemon=True).start()
    return Connection(descriptor)


def _watch(parent: int, grace: float) -> None:
    os.read(parent, 1)  # nothing is ever written: it returns when the other end closes
    time.sleep(grace)
    os._exit(1)
