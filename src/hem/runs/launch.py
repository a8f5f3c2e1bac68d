"""Train a run with its number of workers: on devices of this process, or in child processes.

If a child fails, dies or hangs, the others are ended and an error of one line names it. Resuming
continues from the latest checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import jax

from hem.errors import EnvError, UserError, require
from hem.runs import trainer
from hem.runs.run import Run
from hem.runs.session import Callbacks, Session
from hem.system.signals import StoppedBySignalError, StopRequest
from hem.system.subprocesses import Link, can_launch, has_ended, kill, launch
from hem.system.user_object import UserObject
from hem.training.workers import ONE, Workers

POLL_S = 0.2
SETTLE_S = 3.0  # after a failure: other workers that fail because of it do so within this time


class Report(NamedTuple):
    """How a worker ended."""

    kind: str  # done, stopped; an error: user, env, bug; died, hung; lost (by another's failure)
    value: Any  # of the error or signal


def train(run: Run, quiet: bool = False, session: Session = Session()) -> None:  # noqa: B008
    """Train as ``trainer.train`` does, with the run's number of workers.

    They are devices of this process if it has enough, such as the GPUs of a host; otherwise, on the
    CPU, child processes.

    Raises:
        UserError: as in ``trainer.train``, or a worker's process failed.
    """
    count = run.experiment.run.workers
    if count == 1:
        trainer.train(run, quiet, ONE, session=session)
    elif jax.local_device_count() >= count:
        trainer.train(run, quiet, Workers(count), session=session)
    else:
        require(
            jax.default_backend() == "cpu",
            f"there are {jax.local_device_count()} devices for {count} workers: give --workers "
            f"{jax.local_device_count()} or fewer",
        )
        require(can_launch(), "several workers need Linux or macOS: leave out --workers")
        _train_in_processes(run, count, quiet, session)


def _train_in_processes(run: Run, count: int, quiet: bool, session: Session) -> None:
    callbacks = Callbacks(session.callbacks)  # called here, in the user's program
    with StopRequest() as should_stop, _launched(run, count, quiet, session) as links:
        reports = _awaited(links, should_stop, callbacks)
    failed = [w for w, report in enumerate(reports) if report.kind not in ("done", "stopped")]
    if failed:
        raise _error(run, reports, failed)
    if callbacks.error is not None:
        raise callbacks.error
    stopped = [report.value for report in reports if report.kind == "stopped"]
    if stopped:  # some may have had the signal only after the others had stopped
        raise StoppedBySignalError(should_stop.signal or stopped[0])


@contextlib.contextmanager
def _launched(run: Run, count: int, quiet: bool, session: Session) -> Iterator[list[Link]]:
    """The workers' processes; none is left when the block ends."""
    address = f"127.0.0.1:{_free_port()}"
    limits, is_watched = replace(session, callbacks=()), bool(session.callbacks)
    objects = UserObject("an object of this run", run.experiment.unnamed)
    links = []
    with tempfile.TemporaryFile() as log:
        try:
            for worker in range(count):
                links.append(launch("hem.runs.worker", output=log.fileno(), also=[2]))
                links[-1].connection.send(
                    (run.folder, run.config, objects, address, worker, quiet, limits, is_watched)
                )
            yield links
        finally:
            for link in links:
                kill(link)


def _awaited(links: list[Link], should_stop: StopRequest, callbacks: Callbacks) -> list[Report]:
    """How each worker ended; one that had not, some time after another failed, hangs.

    Meanwhile, the leading one asks after each iteration whether to continue.
    """
    reports: dict[int, Report] = {}
    told, deadline = False, float("inf")
    while len(reports) < len(links) and time.monotonic() < deadline:
        if should_stop() and not told:
            told = True
            for link in links:
                os.kill(link.process.pid, signal.SIGTERM)
        for worker, link in enumerate(links):
            if worker not in reports and (report := _report(link, callbacks)) is not None:
                reports[worker] = report
                if report.kind not in ("done", "stopped"):
                    deadline = min(deadline, time.monotonic() + SETTLE_S)
        waiting = [link.connection for w, link in enumerate(links) if w not in reports]
        wait(waiting, POLL_S)
    return [reports.get(w, Report("hung", None)) for w in range(len(links))]


def _report(link: Link, callbacks: Callbacks) -> Report | None:
    """What a worker reported before it ended, or how it died; None while it runs."""
    try:
        if link.connection.poll():
            report = Report(*link.connection.recv())
            if report.kind != "iteration":
                return report
            link.connection.send(callbacks(report.value))
    except (EOFError, OSError):
        pass
    if not has_ended(link):
        return None
    status = link.process.wait()
    # JAX aborts a process when another one is gone or gives no heartbeat.
    return Report("lost", "aborted") if status == -signal.SIGABRT else Report("died", status)


def _error(run: Run, reports: list[Report], failed: list[int]) -> UserError:
    """One error for all: that of the worker that failed first, as far as can be told."""
    order = ["user", "env", "bug", "died", "hung", "lost"]
    worker = min(failed, key=lambda w: order.index(reports[w].kind))
    kind, value = reports[worker]
    remedy = f"continue from the latest checkpoint with {run.continuation}"
    if kind == "user":
        return UserError(value)
    if kind == "env":
        return EnvError(f"{value} (in worker {worker} of {len(reports)}): {remedy}")
    if kind == "died":
        how = f"was killed by signal {-value}" if value < 0 else f"ended with status {value}"
    else:
        how = "does not respond" if kind == "hung" else f"failed: {value}"
    return UserError(f"worker {worker} of {len(reports)} {how}: {remedy}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
