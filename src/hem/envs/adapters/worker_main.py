"""A worker process that runs environments: ``python -m hem.envs.adapters.worker_main FD``.

FD is a socket to the parent. The first message is a plan; each further one is a method of
``EnvSlots`` with its arguments, and is answered. No JAX is imported, so that a worker starts fast
and stays small.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from hem.envs.adapters.open_slots import make_env_slots
from hem.errors import EnvError, UserError
from hem.system.subprocesses import connected


def main(descriptor: int) -> None:
    """Answer until the parent closes its end, or dies."""
    warnings.simplefilter("ignore")  # they were shown when the environment was inspected
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
                kind = "env" if isinstance(error, EnvError) else "user"
                answer = (kind, str(error))
            connection.send(answer)
    except (EOFError, OSError):
        pass
    if stage is not None:
        stage.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
