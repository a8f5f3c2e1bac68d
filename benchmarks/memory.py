"""The replay's predicted size against what a fresh process really grows by, also when it saves."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil

from benchmarks import Figure
from hem.replay import buffer as ring
from hem.runs import checkpoint
from hem.runs.experiment import make_experiment
from hem.training.loop import Counters

REPLAYS: list[tuple[str, int, dict[str, Any]]] = [
    ("FlipBit", 200_000, {}),
    ("Navigation", 300_000, {}),
    ("FetchReach-v4", 2_000, {"obs": "image", "image_size": 48, "horizon": 50}),
]
PICTURES_LIMIT = 0.75e9  # bytes, of 100,000 steps


class Sizes(NamedTuple):
    """Bytes of a replay."""

    predicted: int
    grown: int  # by which the process grew
    saving: int  # by which it had grown at most, once it had saved


def measure() -> list[Figure]:
    spawn = multiprocessing.get_context("spawn")
    figures = []
    for env, capacity, settings in REPLAYS:
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
            sizes = fresh.submit(_sizes, env, capacity, settings).result()
        name = f"replay of {capacity:,} {env} episodes" + (", images" if settings else "")
        predicted = (f"predicted ({sizes.predicted / 2**20:,.0f} MiB)", sizes.predicted)
        figures.append(_figure(name, sizes.grown, *predicted))
        figures.append(_figure(f"{name}, saved", sizes.saving, *predicted))
        if settings:
            limit = f"limit {PICTURES_LIMIT / 1e9} GB"
            figures.append(_figure(name, sizes.grown, limit, PICTURES_LIMIT))
    return figures


def _figure(name: str, size: int, mark: str, marked: float) -> Figure:
    return Figure(
        name=name, value=size / 2**20, unit="MiB resident", ratio=size / marked, against=mark
    )


def _sizes(env: str, capacity: int, settings: dict[str, Any]) -> Sizes:
    built, _ = make_experiment(env, **settings).build()
    jax.block_until_ready(ring.init(built.task, 1))  # compiles; its code is not the replay
    before = psutil.Process().memory_info().rss
    replay = ring.init(built.task, capacity)
    jax.block_until_ready(replay)
    grown = psutil.Process().memory_info().rss - before
    with tempfile.TemporaryDirectory() as folder:
        almost_full = replay._replace(size=np.int32(capacity - 1))
        checkpoint.save(Path(folder), 1, ring.filled(almost_full), Counters())
    most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Sizes(ring.predicted_bytes(built.task, capacity), grown, most - before)
