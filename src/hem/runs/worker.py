"""One worker of a run in its own process, started by ``hem.runs.launch``."""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hem.errors import EnvError, UserError, one_line
from hem.system.signals import StoppedBySignalError
from hem.system.subprocesses import connected, keep_to_share_of_cores

if TYPE_CHECKING:
    from hem.runs.session import Iteration, Session
    from hem.system.user_object import UserObject

HEARTBEAT_S = 10  # seconds without a heartbeat after which a worker counts as lost
# In errors of JAX: what one worker meets when another is lost.
LOST = ("Gloo", "gloo", "coordination", "heartbeat", "Connection", "UNAVAILABLE")


def main(descriptor: int, terminal: int) -> None:
    """Train what the parent asks for, and report how it ended."""
    connection = connected(descriptor, grace=0)  # then another process may train the run
    folder, config, objects, address, worker, quiet, session, is_watched = connection.recv()
    keep_to_share_of_cores(worker, config["run"]["workers"])
    try:
        if is_watched:
            session = dataclasses.replace(session, callbacks=(partial(_asked, connection),))
        connection.send(_train(folder, config, objects, address, worker, quiet, session, terminal))
    except StoppedBySignalError as stopped:
        connection.send(("stopped", stopped.number))
    except UserError as error:
        connection.send(("env" if isinstance(error, EnvError) else "user", str(error)))
    except Exception as error:
        text = one_line(f"{type(error).__name__}: {error}", 300)
        connection.send(("lost" if any(word in text for word in LOST) else "bug", text))
        traceback.print_exc()
    _leave(connection)


def _train(
    folder: Path,
    config: dict[str, Any],
    objects: UserObject,
    address: str,
    worker: int,
    quiet: bool,
    session: Session,
    terminal: int,
) -> tuple[str, None]:
    import jax  # noqa: PLC0415  only now, with this worker's cores
    from rich.console import Console  # noqa: PLC0415

    from hem.runs import trainer  # noqa: PLC0415
    from hem.runs.run import Run  # noqa: PLC0415
    from hem.system.compile_cache import keep_compiled  # noqa: PLC0415
    from hem.training.workers import Workers  # noqa: PLC0415

    keep_compiled()
    count = config["run"]["workers"]
    jax.distributed.initialize(
        address, count, worker, heartbeat_timeout_seconds=HEARTBEAT_S, initialization_timeout=120
    )
    run = Run(folder, True, objects.get())  # trusted: the parent has checked it
    run.adopt(config)
    with open(terminal, "w", encoding="utf-8", closefd=False) as shown:
        trainer.train(run, quiet, Workers(count), Console(file=shown), session)
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
