"""The processes that a launcher such as ``mpirun``, ``srun`` or Kubernetes started for one run.

They all run the same command, and JAX connects them. Without a launcher, a run starts its workers
itself (``hem.runs.launch``).
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

import jax

from hem.errors import UserError, require
from hem.system.packages import is_installed

ADDRESS = "JAX_COORDINATOR_ADDRESS"


class Place(NamedTuple):
    """A process among all those of a run."""

    rank: int
    size: int
    address: str | None  # HOST:PORT of process 0; None if JAX finds it
    detection: str | None = None  # JAX's method of finding it


ALONE = Place(rank=0, size=1, address=None)


class _Launcher(NamedTuple):
    rank: str  # environment variables
    size: str
    detection: str | None


_LAUNCHERS = (
    _Launcher("JAX_PROCESS_ID", "JAX_NUM_PROCESSES", None),
    _Launcher("JOB_COMPLETION_INDEX", "JAX_NUM_PROCESSES", None),  # an indexed job of Kubernetes
    _Launcher("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpi4py"),
    _Launcher("PMI_RANK", "PMI_SIZE", "mpi4py"),  # MPICH, Intel MPI
    _Launcher("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "slurm"),  # within srun, not a batch script
)


def place(workers: int) -> Place:
    """This process's place among those of a launcher; ``ALONE`` without one, or with one worker.

    Raises:
        UserError: the launcher's processes cannot be this run's workers.
    """
    launcher = next((x for x in _LAUNCHERS if {x.rank, x.size} <= os.environ.keys()), None)
    if launcher is None or workers == 1:
        return ALONE
    rank, size = _number(launcher.rank), _number(launcher.size)
    require(rank < size, f"{launcher.rank} is {rank}, but {launcher.size} is {size}")
    if size == 1:
        return ALONE
    require(
        workers % size == 0,
        f"{workers} workers cannot be shared by {size} processes: give --workers {size} or a "
        "multiple of it",
    )
    address = os.environ.get(ADDRESS)
    if address is not None:
        host, _, port = address.rpartition(":")
        require(bool(host) and port.isdigit(), f"{ADDRESS} must be HOST:PORT, not {address!r}")
        return Place(rank, size, address)
    require(launcher.detection is not None, f"set {ADDRESS} to HOST:PORT of process 0")
    require(
        launcher.detection != "mpi4py" or is_installed("mpi4py"),
        "processes of mpirun find each other with mpi4py: run `pip install 'hindsight-em[mpi]'`, "
        f"or set {ADDRESS} to HOST:PORT of process 0",
    )
    return Place(rank, size, None, launcher.detection)


def follows(workers: int) -> bool:
    """Whether another process has the run's folder, and shows its progress."""
    return place(workers).rank > 0


def spare_devices(mine: Place) -> None:
    """Keep a launcher's process off the accelerators, which the child with its workers is to have.

    To be called before JAX is used.
    """
    if mine != ALONE:
        jax.config.update("jax_platforms", "cpu")


def connect(mine: Place, timeout_s: int, heartbeat_s: int) -> None:
    """Connect this process with the others of its run; JAX must not have been used before.

    Where another process is missing for ``timeout_s``, JAX aborts this one.

    Raises:
        UserError: the address is not usable.
    """
    given = mine.address is not None
    if mine.address is not None and mine.rank == 0:
        _require_free(mine.address)
    jax.distributed.initialize(
        mine.address,
        mine.size if given else None,
        mine.rank if given else None,
        cluster_detection_method="deactivate" if given else mine.detection,
        initialization_timeout=timeout_s,
        heartbeat_timeout_seconds=heartbeat_s,
    )
    if mine.detection == "mpi4py":
        from mpi4py import MPI  # noqa: PLC0415

        MPI.Finalize()  # it has done its part, and would complain about a process that ends


def _require_free(address: str) -> None:
    """Refuse an address that JAX could not listen at; it may crash on one that is taken."""
    port = int(address.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"process 0 cannot listen at {address} ({error}): set {ADDRESS} to HOST:PORT with "
            "another port"
        ) from error


def _number(variable: str) -> int:
    text = os.environ[variable]
    if not text.isdecimal():
        raise UserError(f"the environment variable {variable} must be a number, not {text!r}")
    return int(text)
