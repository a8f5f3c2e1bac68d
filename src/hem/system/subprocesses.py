"""Processes that work for this one, each a fresh Python with a socket between. No JAX here.

They are started as new programs and not forked, because a process that runs JAX has threads, and
because a user's script need not be written for it. Only here is used what Windows lacks: there,
all is done by this process.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil

from hem.errors import require

GRACE = 5.0  # seconds that a process has to end in by itself, once its parent is gone


class Link(NamedTuple):
    """A process, and this end of the socket to it."""

    process: subprocess.Popen
    connection: Connection


def usable_cores() -> int:
    """Count the cores this process may run on, which a batch system may hold below the total."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_launch() -> bool:
    """Whether this system has what processes take: Linux and macOS have, Windows has not."""
    return hasattr(os, "killpg")


def launch(module: str) -> Link:
    """Start ``python -m module FD``, where FD is the other end of a socket.

    Raises:
        UserError: this system has no such processes.
    """
    require(
        can_launch(),
        "worker processes need Linux or macOS: with --workers 0 the environment runs without them",
    )
    ours, theirs = socket.socketpair()
    with theirs:
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        environment = os.environ | {"PYTHONPATH": path}
        environment.setdefault("OMP_NUM_THREADS", "1")  # there is a process for each core
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,  # which closes with this process, however it ends
            stdout=2,  # what is printed there must not get into what hem prints
            env=environment,
            process_group=0,  # with all that it starts itself
        )
    return Link(process, Connection(ours.detach()))


def finish(link: Link, deadline: float) -> int:
    """End a process with all that it started, by force after the deadline; its exit status."""
    assert link.process.stdin is not None
    link.connection.close()
    link.process.stdin.close()
    while not has_ended(link) and time.monotonic() < deadline:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(link.process.pid, signal.SIGKILL)  # the group is there until it is waited for
    return link.process.wait()


def has_ended(link: Link) -> bool:
    """Whether a process has ended; its exit status is left to be asked for."""
    if link.process.returncode is not None:
        return True
    try:
        return psutil.Process(link.process.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # somebody else has waited for it
        return True


def connected(descriptor: int) -> Connection:
    """In the process: the connection to its parent, on whose end it soon ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    parent = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)  # so that an environment that asks for input gets none
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    return Connection(descriptor)


def _watch(parent: int) -> None:
    os.read(parent, 1)  # nothing is ever written: it returns when the other end is closed
    time.sleep(GRACE)
    os._exit(1)
