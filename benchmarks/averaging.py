"""What it costs two workers to average: updates of hEM with it, and without.

The workers are devices of one process, as `hem train --workers 2` has them, or two processes that
communicate through the machine's loopback, as a launcher starts them. "Every 10" averages
parameters after ten updates, not gradients after each.
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
INTERVALS = {1: "each update", 10: "every 10", 50: "every 50"}


def measure() -> list[Figure]:
    return list(_figures()) if (os.cpu_count() or 1) >= WORKERS else []


def _figures() -> Iterator[Figure]:
    for processes, place in ((1, "one process"), (WORKERS, "two processes")):
        for batch in BATCHES:
            seconds = _measured(batch, processes)
            without = UPDATES / seconds[NEVER]
            for interval, name in INTERVALS.items():
                label = f"2 workers in {place}, 2x256 MLP, batch {batch}, averaging {name}"
                yield compared(label, "updates/s", UPDATES / seconds[interval], "without", without)


def _measured(batch: int, processes: int) -> dict[int, np.ndarray]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "benchmarks.averaging", address, str(batch), str(processes)]
    started = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]
    output, *_ = [process.communicate()[0] for process in started]
    rows = [line.split() for line in output.splitlines() if line.startswith("seconds")]
    return {int(row[1]): np.array(row[2:], float) for row in rows}


def _work(address: str, batch: int, processes: int, rank: int) -> None:
    import jax  # noqa: PLC0415  with its own number of devices

    from hem.runs.experiment import make_experiment  # noqa: PLC0415
    from hem.training.learning import init_state, make_learn  # noqa: PLC0415
    from hem.training.workers import Workers  # noqa: PLC0415

    jax.config.update("jax_num_cpu_devices", WORKERS // processes)
    if processes > 1:
        jax.distributed.initialize(address, processes, rank)
    experiment = make_experiment("FlipBit", bits=25, batch_size=batch, workers=WORKERS)
    env, algorithm = experiment.build()
    workers = Workers(WORKERS)
    collect = workers.collector(env, algorithm.act, 15, explore=True, ends=True)
    state = workers.same(init_state(env.task, algorithm, 0, 1000))
    episodes = collect(jax.random.key(0), state.agent_state, 0)
    programs = {
        interval: workers.map(make_learn(env.task, algorithm, UPDATES, interval))
        for interval in (*INTERVALS, NEVER)
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
    _work(sys.argv[1], *map(int, sys.argv[2:]))
