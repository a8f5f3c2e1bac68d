"""The replay's predicted size against what the process really grows by."""

from __future__ import annotations

import jax
import psutil

from benchmarks import Figure
from hem import replay as ring
from hem.experiment import experiment


def measure() -> list[Figure]:
    figures = []
    for env, capacity in [("FlipBit", 200_000), ("Navigation", 300_000)]:
        world, _ = experiment(env).build()
        predicted = ring.predicted_bytes(world.task, capacity)
        jax.block_until_ready(ring.init(world.task, 1))  # compiles; its code is not the replay
        before = psutil.Process().memory_info().rss
        replay = ring.init(world.task, capacity)
        jax.block_until_ready(replay)
        grown = psutil.Process().memory_info().rss - before
        del replay
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
