"""The replay's predicted size against what a fresh process really grows by."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import psutil

from benchmarks import Figure
from hem import replay as ring
from hem.experiment import experiment

REPLAYS: list[tuple[str, int, dict[str, Any]]] = [
    ("FlipBit", 200_000, {}),
    ("Navigation", 300_000, {}),
    ("FetchReach-v4", 2_000, {"obs": "image", "image_size": 48, "horizon": 50}),
]
PICTURES_LIMIT = 0.75e9  # bytes, of 100,000 steps


def measure() -> list[Figure]:
    spawn = multiprocessing.get_context("spawn")
    figures = []
    for env, capacity, settings in REPLAYS:
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
            predicted, grown = fresh.submit(_grow, env, capacity, settings).result()
        marks = [(f"predicted ({predicted / 2**20:,.0f} MiB)", predicted)]
        if settings:
            marks.append((f"limit {PICTURES_LIMIT / 1e9} GB", PICTURES_LIMIT))
        figures += [
            Figure(
                name=f"replay of {capacity:,} {env} episodes" + (", pictures" if settings else ""),
                value=grown / 2**20,
                unit="MiB resident",
                ratio=grown / size,
                against=mark,
            )
            for mark, size in marks
        ]
    return figures


def _grow(env: str, capacity: int, settings: dict[str, Any]) -> tuple[int, int]:
    """Bytes predicted, and bytes that this process grows by."""
    world, _ = experiment(env, **settings).build()
    jax.block_until_ready(ring.init(world.task, 1))  # compiles; its code is not the replay
    before = psutil.Process().memory_info().rss
    replay = ring.init(world.task, capacity)
    jax.block_until_ready(replay)
    return ring.predicted_bytes(world.task, capacity), psutil.Process().memory_info().rss - before
