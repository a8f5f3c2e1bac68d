"""A process that runs environments for another: ``python -m hem.envs.gymnasium.worker FD``.

FD is a socket that the parent holds the other end of. The first message is a plan; each further one
is a method of ``Stage`` with its arguments, and is answered. No JAX is imported, so that a process
starts soon and stays small.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any

from hem.envs.gymnasium.stages import open_stage
from hem.errors import UserError, WorldError

GRACE = 5.0  # seconds to close environments in, once the parent is gone


def main(descriptor: int) -> None:
    """Answer until the parent closes its end, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    warnings.simplefilter("ignore")  # they were shown where the environment was looked at
    connection = Connection(descriptor)
    threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()
    stage: Any = None
    try:
        while True:
            method, *arguments = connection.recv()
            try:
                if method == "open":
                    stage = open_stage(*arguments)
                    answer = ("done", None)
                else:
                    answer = ("done", getattr(stage, method)(*arguments))
            except UserError as error:
                kind = "world" if isinstance(error, WorldError) else "user"
                answer = (kind, str(error))
            connection.send(answer)
    except (EOFError, OSError):
        pass
    if stage is not None:
        stage.close()


def _watch(descriptor: int) -> None:
    """End the process soon after the parent's end is closed, whatever an environment is doing."""
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is always reported
    poll.poll()
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
