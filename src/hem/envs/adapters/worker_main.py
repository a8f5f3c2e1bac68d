"""A process that runs environments for another: ``python -m hem.envs.adapters.worker_main FD``.

FD is a socket that the parent holds the other end of. The first message is a plan; each further one
is a method of ``EnvSlots`` with its arguments, and is answered. No JAX is imported, so that a
process starts soon and stays small.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from hem.envs.adapters.open_slots import make_env_slots
from hem.errors import UserError, WorldError
from hem.system.subprocesses import connected


def main(descriptor: int) -> None:
    """Answer until the parent closes its end, or dies."""
    warnings.simplefilter("ignore")  # they were shown where the environment was looked at
    connection = connected(descriptor)
    stage: Any = None
    try:
        while True:
            method, *arguments = connection.recv()
            try:
                if method == "open":
                    stage = make_env_slots(*arguments)
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


if __name__ == "__main__":
    main(int(sys.argv[1]))
