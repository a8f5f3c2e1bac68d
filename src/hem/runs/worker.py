"""The workers of a run in a process of their own, started by ``hem.runs.launch``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import traceback
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hem.errors import EnvError, NotStartedError, UserError, one_line
from hem.system.signals import StoppedBySignalError
from hem.system.subprocesses import connected

if TYPE_CHECKING:
    from hem.runs.cluster import Place
    from hem.runs.session import Iteration, Session
    from hem.system.user_object import UserObject
    from hem.training.workers import Workers

CONNECT_S = 120  # seconds after which a worker that is missing ends the others
HEARTBEAT_S = 10  # seconds without a heartbeat after which a worker counts as lost
# In errors of JAX: what one worker meets when another is lost.
LOST = ("Gloo", "gloo", "coordination", "heartbeat", "Connection", "UNAVAILABLE")


def main(descriptor: int, terminal: int) -> None:
    """Train what the parent asks for, and report how it ended."""
    connection = connected(descriptor, grace=0)  # then another process may train the run
    folder, config, objects, place, quiet, session, is_watched = connection.recv()
    try:
        workers = _connected(config, objects, place)
        connection.send(("connected", None))
        if is_watched:
            session = dataclasses.replace(session, callbacks=(partial(_asked, connection),))
        connection.send(_trained(folder, config, objects, workers, quiet, session, terminal))
        workers.any(False)  # until all have said so: without the first one, JAX aborts the others
    except UserError as error:
        kinds = {NotStartedError: "unstarted", EnvError: "env"}
        connection.send((kinds.get(type(error), "user"), str(error)))
    except Exception as error:
        text = one_line(f"{type(error).__name__}: {error}", 300)
        connection.send(("lost" if any(word in text for word in LOST) else "bug", text))
        traceback.print_exc()
    _leave(connection)


def _connected(config: dict[str, Any], objects: UserObject, place: Place) -> Workers:
    """All workers of the run, which agree about it.

    Raises:
        NotStartedError: they do not, or cannot be connected.
    """
    # Here no worker can be lost; one may be stopped for as long as the machine sleeps.
    flags = ("warn_stuck", "terminate")
    patient = [f"--xla_cpu_collective_call_{name}_timeout_seconds={10**6}" for name in flags]
    if place.size == 1:
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *patient])
    import jax  # noqa: PLC0415  only now, with these flags

    from hem.runs import cluster  # noqa: PLC0415
    from hem.runs.experiment import Experiment, modules_of  # noqa: PLC0415
    from hem.runs.provenance import provenance  # noqa: PLC0415
    from hem.system.compile_cache import keep_compiled  # noqa: PLC0415
    from hem.training.workers import Workers  # noqa: PLC0415

    keep_compiled()
    count = config["run"]["workers"]
    jax.config.update("jax_num_cpu_devices", count // place.size)
    try:
        if place.size > 1:
            cluster.connect(place, CONNECT_S, HEARTBEAT_S)
    except UserError as error:
        raise NotStartedError(str(error)) from error
    if jax.device_count() != count:
        raise NotStartedError(
            f"{place.size} processes with {jax.device_count()} devices together were started for "
            f"{count} workers: give --workers {jax.device_count()}"
        )
    workers = Workers(count)
    if place.size > 1:
        settings = Experiment.from_json(config, modules_of(objects.get(), config)).to_json()
        try:
            _require_agreement(workers, "settings", settings)
            _require_agreement(workers, "versions of packages", provenance()["versions"])
        except RuntimeError as error:  # the first that they communicate; such as a shared GPU
            raise NotStartedError(f"the workers cannot communicate: {error}") from error
    return workers


def _require_agreement(workers: Workers, what: str, mine: Any) -> None:
    digest = hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).digest()
    first, *others = workers.gather(dict.fromkeys(workers.mine, digest))
    different = [str(w) for w, other in enumerate(others, start=1) if other != first]
    if different:
        raise NotStartedError(
            f"worker {', '.join(different)} has other {what} than worker 0: start all of them with "
            "the same command and the same installation"
        )


def _trained(
    folder: Path,
    config: dict[str, Any],
    objects: UserObject,
    workers: Workers,
    quiet: bool,
    session: Session,
    terminal: int,
) -> tuple[str, int | None]:
    """Train, and say how it ended."""
    import jax  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    from hem.runs import trainer  # noqa: PLC0415
    from hem.runs.run import Run  # noqa: PLC0415

    mine = config | {"devices": [device.device_kind for device in jax.devices()]}
    run = Run.joined(folder, mine, objects.get())
    try:
        with open(terminal, "w", encoding="utf-8", closefd=False) as shown:
            trainer.train(run, quiet, workers, Console(file=shown), session)
    except StoppedBySignalError as stopped:
        return "stopped", stopped.number
    return "done", None


def _asked(connection: Connection, iteration: Iteration) -> bool:
    """Whether to continue, according to the callbacks in the parent's program."""
    connection.send(("iteration", iteration))
    return connection.recv()


def _leave(connection: Connection) -> None:
    """Exit at once: shutting JAX down would wait for workers that are gone."""
    connection.close()
    os._exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
