"""Train a run with its number of workers: on the devices of this process, or in a child process.

A child has as many devices as it has workers, which is faster than a process for each: averaging
then needs no network. Under a launcher (``hem.runs.cluster``), each process has such a child. As
JAX aborts processes that lose others, an error of one line is what remains of a child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from hem.errors import EnvError, NotStartedError, UserError
from hem.runs import cluster, trainer
from hem.runs.cluster import ALONE, Place
from hem.runs.run import Run
from hem.runs.session import Callbacks, Session
from hem.runs.worker import CONNECT_S
from hem.system.signals import StoppedBySignalError, StopRequest
from hem.system.subprocesses import Link, can_launch, has_ended, kill, launch
from hem.system.user_object import UserObject
from hem.training.workers import ONE, Workers

POLL_S = 0.2


class Report(NamedTuple):
    """How a child ended."""

    kind: str  # done, stopped; an error: unstarted, user, env, bug, unborn, alone, died, lost
    value: Any  # of the error or signal


def train(run: Run, quiet: bool = False, session: Session = Session()) -> None:  # noqa: B008
    """Train as ``trainer.train`` does, with the run's number of workers.

    They are devices of this process if it has enough, such as the GPUs of a host; else devices of
    a child and, under a launcher, of the children of its other processes.

    Raises:
        UserError: as in ``trainer.train``, or a worker's process failed.
        NotStartedError: the workers could not be started.
    """
    place = cluster.place(run.experiment.run.workers)
    error = None
    try:
        _train(run, place, quiet, session)
    except BaseException as raised:
        error = raised
        raise
    finally:
        if place.rank == 0:
            session.end(run, error)


def _train(run: Run, place: Place, quiet: bool, session: Session) -> None:
    count = run.experiment.run.workers
    if count == 1:
        trainer.train(run, quiet, ONE, session=session)
    elif place == ALONE and jax.local_device_count() >= count:
        trainer.train(run, quiet, Workers(count), session=session)
    elif not can_launch():
        raise NotStartedError("several workers need Linux or macOS: leave out --workers")
    elif place == ALONE and jax.default_backend() != "cpu":
        devices = jax.local_device_count()
        raise NotStartedError(
            f"{count} workers need as many devices, but this machine has {devices}: give "
            f"--workers {devices}"
        )
    else:
        _train_in_child(run, place, quiet, session)


def _train_in_child(run: Run, place: Place, quiet: bool, session: Session) -> None:
    callbacks = Callbacks(session.callbacks)  # called here, in the user's program
    with StopRequest() as should_stop, _launched(run, place, quiet, session) as link:
        report = _awaited(link, should_stop, callbacks)
    if report.kind == "done" and callbacks.error is not None:
        raise callbacks.error
    if report.kind == "stopped":
        raise StoppedBySignalError(report.value)
    if report.kind != "done":
        raise _error(run, place, report)


@contextlib.contextmanager
def _launched(run: Run, place: Place, quiet: bool, session: Session) -> Iterator[Link]:
    """The child; it is gone when the block ends."""
    limits, is_watched = replace(session, callbacks=()), bool(session.callbacks)
    objects = UserObject("an object of this run", run.experiment.unnamed)
    link = launch("hem.runs.worker", output=subprocess.DEVNULL, also=[2])
    try:
        link.connection.send((run.folder, run.config, objects, place, quiet, limits, is_watched))
        yield link
    finally:
        kill(link)


def _awaited(link: Link, should_stop: StopRequest, callbacks: Callbacks) -> Report:
    """What the child reported before it ended, or how it died.

    Meanwhile, it asks after each iteration whether to continue.
    """
    said, asked = Report("", None), False
    is_over = False
    while not is_over:
        is_over = has_ended(link)  # before reading, so that nothing is missed
        if should_stop() and not asked:
            asked = True
            os.kill(link.process.pid, signal.SIGTERM)
        try:
            while link.connection.poll(0 if is_over else POLL_S):
                report = Report(*link.connection.recv())
                if report.kind == "iteration":
                    link.connection.send(callbacks(report.value))
                else:
                    said = report
        except (EOFError, OSError):  # it is about to end
            time.sleep(0.01)
    status = link.process.wait()
    # JAX aborts a process when another one is missing, is gone or gives no heartbeat.
    if said.kind == "lost" or (said.kind == "connected" and status == -signal.SIGABRT):
        return Report("lost", None)
    if said.kind == "":
        return Report("alone" if status == -signal.SIGABRT else "unborn", status)
    return Report("died", status) if said.kind == "connected" else said


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
    remedy = f"continue from the latest checkpoint with {run.continuation}"
    if kind == "env":
        return EnvError(f"{value} (in {name}): {remedy}")
    if kind == "died":
        return UserError(f"{name} {_ended(value)}: {remedy}")
    if kind == "lost":
        how = "which is gone, does not respond or cannot be reached"
        return UserError(f"{name} of {place.size} lost another one, {how}: {remedy}")
    return UserError(f"{name} failed: {value}: {remedy}")


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
