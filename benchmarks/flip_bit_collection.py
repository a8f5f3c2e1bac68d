"""FlipBit collected with its policy, against the machine's own matrix-product rate."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from benchmarks import Figure, best_seconds
from hem.runs.experiment import make_experiment
from hem.training.loop import init_state
from hem.training.rollout import collector

BITS = 50
HIDDEN = (256, 256)
PARALLEL = [1, 4, 16, 64, 256, 1024, 4096]


def measure() -> list[Figure]:
    env, algorithm = make_experiment("FlipBit", bits=BITS, hidden_dims=HIDDEN).build()
    agent_state = init_state(env.task, algorithm, 0, 1).agent_state
    key = jax.random.key(0)
    product = jax.jit(lambda a: a @ a)
    square = jnp.ones((2048, 2048))
    sizes = [2 * BITS, *HIDDEN, BITS]
    flop = 2 * sum(a * b for a, b in itertools.pairwise(sizes))  # of a step
    figures = []
    for n in PARALLEL:
        collect = collector(env, algorithm.act, n, explore=True, ends=False)
        seconds, limit = best_seconds(
            lambda c=collect: jax.block_until_ready(c(key, agent_state, 0)),
            lambda: jax.block_until_ready(product(square)),
        )
        rate = n * env.task.horizon / seconds
        peak = 2 * 2048**3 / limit
        figures.append(
            Figure(
                name=f"FlipBit {BITS} collection, {n} episodes",
                value=rate,
                unit="env steps/s",
                ratio=rate * flop / peak,
                against=f"matrix product 2048^3 ({peak / 1e9:.0f} GFLOP/s)",
            )
        )
    return figures
