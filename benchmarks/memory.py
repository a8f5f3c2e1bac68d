"""The replay's predicted size against what a fresh process really grows by."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import jax
import psutil

from benchmarks import Figure
from hem import replay as ring
from hem.experiment import experiment

REPLAYS = [("FlipBit", 200_000), ("Navigation", 300_000)]


def measure() -> list[Figure]:
    spawn = multiprocessing.get_context("spawn")
    figures = []
    for env, capacity in REPLAYS:
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
            predicted, grown = fresh.submit(_grow, env, capacity).result()
        figures.append(
            Figure(
                name=f"replay of {capacity:,} {env} episodes",
                value=grown / 2**20,
                unit="MiB resident",
                ratio=grown / predicted,
                against=f"predicted ({predicted / 2**20:,.0f} MiB)",
            )
        )
    return figures


def _grow(env: str, capacity: int) -> tuple[int, int]:
    """Bytes predicted, and bytes that this process grows by."""
    world, _ = experiment(env).build()
    jax.block_until_ready(ring.init(world.task, 1))  # compiles; its code is not the replay
    before = psutil.Process().memory_info().rss
    replay = ring.init(world.task, capacity)
    jax.block_until_ready(replay)
    return ring.predicted_bytes(world.task, capacity), psutil.Process().memory_info().rss - before
