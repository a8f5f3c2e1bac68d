"""Train a run with its number of workers: on the devices of this process, or in a child process.

A child has as many devices as it has workers, which is faster than a process for each: averaging
then needs no network. Under a launcher (``hem.runs.cluster``), each process has such a child. As
JAX aborts processes that lose others, an error of one line is what remains of a child.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import jax

from hem.errors import EnvError, NotStartedError, UserError
from hem.runs import cluster, trainer
from hem.runs.cluster import ALONE, Place
from hem.runs.run import Run
from hem.runs.worker import CONNECT_S
from hem.system.signals import StoppedBySignalError, StopRequest
from hem.system.subprocesses import Link, can_launch, has_ended, kill, launch
from hem.training.workers import ONE, Workers

POLL_S = 0.2


class Report(NamedTuple):
    """How a child ended."""

    kind: str  # done, stopped; an error: unstarted, user, env, bug, unborn, alone, died, lost
    value: Any  # of the error or signal; of one that lost others, which one, if that is known


class Child(NamedTuple):
    """The process of this one's workers."""

    link: Link
    log: IO[bytes]  # what it printed


def train(run: Run, quiet: bool = False) -> None:
    """Train as ``trainer.train`` does, with the run's number of workers.

    They are devices of this process if it has enough, such as the GPUs of a host; else devices of
    a child and, under a launcher, of the children of its other processes.

    Raises:
        UserError: as in ``trainer.train``, or a worker's process failed.
        NotStartedError: the workers could not be started.
    """
    count, place = run.experiment.run.workers, cluster.place(run.experiment.run.workers)
    if count == 1:
        trainer.train(run, quiet, ONE)
    elif place == ALONE and jax.local_device_count() >= count:
        trainer.train(run, quiet, Workers(count))
    elif not can_launch():
        raise NotStartedError("several workers need Linux or macOS: leave out --workers")
    elif place == ALONE and jax.default_backend() != "cpu":
        devices = jax.local_device_count()
        raise NotStartedError(
            f"{count} workers need as many devices, but this machine has {devices}: give "
            f"--workers {devices}"
        )
    else:
        _train_in_child(run, place, quiet)


def _train_in_child(run: Run, place: Place, quiet: bool) -> None:
    with StopRequest() as should_stop, _launched(run, place, quiet) as child:
        report = _awaited(child, should_stop)
    if report.kind == "stopped":
        raise StoppedBySignalError(report.value)
    if report.kind != "done":
        raise _error(run, place, report)


@contextlib.contextmanager
def _launched(run: Run, place: Place, quiet: bool) -> Iterator[Child]:
    """The child; it is gone when the block ends."""
    with tempfile.TemporaryFile() as log:
        link = launch("hem.runs.worker", output=log.fileno(), also=[2])
        try:
            link.connection.send((run.folder, run.config, place, quiet))
            yield Child(link, log)
        finally:
            kill(link)


def _awaited(child: Child, should_stop: StopRequest) -> Report:
    """What the child reported before it ended, or how it died."""
    said, asked, link = Report("", None), False, child.link
    is_over = False
    while not is_over:
        is_over = has_ended(link)  # before reading, so that nothing is missed
        if should_stop() and not asked:
            asked = True
            os.kill(link.process.pid, signal.SIGTERM)
        try:
            while link.connection.poll(0 if is_over else POLL_S):
                said = Report(*link.connection.recv())
        except (EOFError, OSError):  # it is about to end
            time.sleep(0.01)
    status = link.process.wait()
    # JAX aborts a process when another one is missing, is gone or gives no heartbeat.
    if said.kind == "lost" or (said.kind == "connected" and status == -signal.SIGABRT):
        return Report("lost", _named(child.log))
    if said.kind == "":
        return Report("alone" if status == -signal.SIGABRT else "unborn", status)
    return Report("died", status) if said.kind == "connected" else said


def _named(log: IO[bytes]) -> int | None:
    """The process that JAX says has failed."""
    log.seek(0)
    found = re.search(rb"task:(\d+)", log.read())
    return int(found[1]) if found else None


def _error(run: Run, place: Place, report: Report) -> UserError:
    kind, value = report
    if kind == "unstarted":
        return NotStartedError(value)
    if kind == "user":
        return UserError(value)
    name = "the process of the workers" if place == ALONE else f"process {place.rank}"
    if kind == "alone":
        return NotStartedError(
            f"{name} of {place.size} did not meet the others within {CONNECT_S} s"
            + (f" at {place.address}" if place.address else "")
            + ": start all of them at about the same time, on hosts that reach each other"
        )
    if kind == "unborn":
        return NotStartedError(f"{name} {_ended(value)} while it started: try again")
    flag = "" if run.code is None else " --trust"
    remedy = f"continue from the latest checkpoint with `hem resume {run.folder}{flag}`"
    if kind == "env":
        return EnvError(f"{value} (in {name}): {remedy}")
    if kind == "died":
        return UserError(f"{name} {_ended(value)}: {remedy}")
    if kind == "lost":
        lost = "another one" if value is None else f"process {value}"
        how = f"lost {lost} of {place.size}, which is gone or does not respond"
        return UserError(f"{name} {how}: {remedy}")
    return UserError(f"{name} failed: {value}: {remedy}")


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
