"""What it costs two workers to average: updates of hEM with it, and without.

Each worker is a process with a core of its own and its share of the batch; they communicate through
the machine's loopback. "Every 10" averages parameters after ten updates, not gradients after each.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import Figure, compared

WORKERS = 2
BATCHES = (64, 256, 1024)  # of both workers together
UPDATES, TURNS = 300, 7
NEVER = UPDATES  # but once, at the end


def measure() -> list[Figure]:
    return list(_figures()) if (os.cpu_count() or 1) >= WORKERS else []


def _figures() -> Iterator[Figure]:
    for batch in BATCHES:
        seconds = _measured(batch)
        without = UPDATES / seconds[NEVER]
        for interval, name in ((1, "each update"), (10, "every 10")):
            label = f"2 workers, 2x256 MLP, batch {batch}, averaging {name}"
            yield compared(label, "updates/s", UPDATES / seconds[interval], "without", without)


def _measured(batch: int) -> dict[int, np.ndarray]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "benchmarks.averaging", address, str(batch)]
    started = [
        subprocess.Popen([*command, str(w)], stdout=subprocess.PIPE, text=True)
        for w in range(WORKERS)
    ]
    output, *_ = [process.communicate()[0] for process in started]
    rows = [line.split() for line in output.splitlines() if line.startswith("seconds")]
    return {int(row[1]): np.array(row[2:], float) for row in rows}


def _worker(address: str, batch: int, worker: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[worker::WORKERS])
    import jax  # noqa: PLC0415  with the threads of one core

    from hem.runs.experiment import make_experiment  # noqa: PLC0415
    from hem.training.loop import init_state, make_learn  # noqa: PLC0415
    from hem.training.workers import Workers  # noqa: PLC0415

    jax.distributed.initialize(address, WORKERS, worker)
    experiment = make_experiment("FlipBit", bits=25, batch_size=batch, workers=WORKERS)
    env, algorithm = experiment.build()
    workers = Workers(WORKERS)
    collect = workers.collector(env, algorithm.act, 15, explore=True, ends=True)
    state = workers.same(init_state(env.task, algorithm, 0, 1000))
    episodes = collect(jax.random.key(0), state.agent_state, 0)
    programs = {
        interval: workers.map(make_learn(env.task, algorithm, UPDATES, interval))
        for interval in (1, 10, NEVER)
    }

    def once(learn: Any) -> float:
        start = time.perf_counter()
        jax.block_until_ready(learn(state, episodes))
        return time.perf_counter() - start

    for learn in programs.values():
        once(learn)
    taken = {interval: [] for interval in programs}
    for _ in range(TURNS):
        for interval, learn in programs.items():
            taken[interval].append(once(learn))
    for interval, seconds in taken.items():
        print("seconds", interval, *seconds, flush=True)


if __name__ == "__main__":
    _worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
