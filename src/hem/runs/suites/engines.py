"""Where the runs of a suite are trained: one after the other, or by Ray, on one machine or many."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from hem.errors import UserError, one_line, require
from hem.runs.suites.execute import Result, execute
from hem.runs.suites.suite_file import PlannedRun
from hem.system.packages import is_installed
from hem.system.signals import same_sigterm
from hem.system.subprocesses import usable_cores

POLL_S = 0.5
RAY = "Ray is not installed: run `pip install 'hindsight-em[ray]'`"
ANSWER_S = 10.0  # that a cluster has to answer; Ray itself would wait for minutes


class InTurn:
    """One run after the other, on this machine."""

    name = "one after the other"
    at_once = 1

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def results(
        self, runs: Sequence[PlannedRun], retries: int
    ) -> Iterator[tuple[PlannedRun, Result] | None]:
        """Each run with its result once it has ended; None now and then, while nothing has."""
        for run in runs:
            yield None
            yield run, execute(run, retries)


class OnRay:
    """As many runs at once as the machines of a Ray cluster have cores for.

    It may be entered within itself: Ray stops where it was entered first.
    """

    def __init__(self, address: str | None, cores: int) -> None:
        """Use the cluster at ``address``; by default this machine, with ``cores`` for each run."""
        require(is_installed("ray"), RAY)
        require(cores >= 1, f"cores must be at least 1, not {cores}")
        self._address, self._cores = address, cores
        self.name = f"on Ray at {address}" if address else "on Ray, on this machine"
        self.at_once, self._entered = 0, 0

    def __enter__(self) -> OnRay:
        self._entered += 1
        if self._entered > 1:
            return self
        import ray  # noqa: PLC0415  two seconds, which only this pays

        if self._address is not None:
            _require_answer(self._address)
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns
        local = {} if self._address else {"num_cpus": usable_cores(), "include_dashboard": False}
        try:
            with same_sigterm():  # Ray's own would abort this process, and leave the runs alone
                ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise UserError(
                f"no Ray cluster at {self._address}: {one_line(str(error), 200)}"
            ) from error
        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)) // self._cores)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered -= 1
        if self._entered == 0:
            import ray  # noqa: PLC0415

            ray.shutdown()

    def results(
        self, runs: Sequence[PlannedRun], retries: int
    ) -> Iterator[tuple[PlannedRun, Result] | None]:
        """Each run with its result once it has ended; None now and then, while nothing has."""
        import ray  # noqa: PLC0415
        from ray.exceptions import RayError  # noqa: PLC0415

        remote = ray.remote(execute).options(num_cpus=self._cores, max_retries=0)
        waiting = {remote.remote(run, retries): (run, retries) for run in runs}
        try:
            while waiting:
                ended, _ = ray.wait(list(waiting), timeout=POLL_S)
                for task in ended:
                    run, left = waiting.pop(task)
                    try:
                        yield run, ray.get(task)
                    except RayError as error:  # its worker or machine is gone
                        if left:
                            waiting[remote.remote(run, left - 1)] = (run, left - 1)
                        else:
                            yield run, Result(one_line(str(error), 200), 0.0)
                if not ended:
                    yield None
        finally:
            for task in waiting:
                with contextlib.suppress(Exception):
                    ray.cancel(task)
            if waiting:  # they save before they stop
                ray.wait(list(waiting), num_returns=len(waiting), timeout=60)


def _require_answer(address: str) -> None:
    """Raise ``UserError`` if an address with a port accepts no connection."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():  # such as "auto", which Ray understands
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster at {address}: {error}") from error
