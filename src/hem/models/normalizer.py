"""Running mean and variance, so that networks see inputs of unit scale."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hem.types import Array

CLIP = 5.0  # standard deviations; as openai/baselines' norm_clip
MIN_STD = 1e-2  # an input that has not varied is not blown up


class Statistics(NamedTuple):
    """Sufficient statistics of the vectors seen so far."""

    seen: Array  # f32     how many
    mean: Array  # f32[D]
    m2: Array  # f32[D]   sum of squared differences from the mean


def init(size: int) -> Statistics:
    """Nothing seen yet; ``normalize`` then only clips."""
    mean, m2 = (jnp.zeros(size, jnp.float32) for _ in range(2))
    return Statistics(jnp.float32(0), mean, m2)


def update(stats: Statistics, x: Array, times: Array) -> Statistics:
    """Take in each row of ``x`` [M, D] so many ``times`` [M] (Chan et al. 1979, pairwise update).

    Rows taken in 0 times may be anything.
    """
    weight = jnp.asarray(times, jnp.float32)[:, None]
    rows = jnp.where(weight > 0, jnp.asarray(x, jnp.float32), 0.0)
    n = jnp.sum(weight)
    mean = jnp.sum(rows * weight, axis=0) / jnp.maximum(n, 1)
    m2 = jnp.sum(jnp.square(rows - mean) * weight, axis=0)
    total = stats.seen + n
    share = n / jnp.maximum(total, 1)
    delta = mean - stats.mean
    return Statistics(
        seen=total,
        mean=stats.mean + delta * share,
        m2=stats.m2 + m2 + jnp.square(delta) * stats.seen * share,
    )


def normalize(stats: Statistics, x: Array) -> jax.Array:
    """``x`` [*, D] at zero mean and unit scale, clipped to 5 standard deviations."""
    std = jnp.sqrt(stats.m2 / jnp.maximum(stats.seen, 1))
    std = jnp.where(stats.seen > 0, jnp.maximum(std, MIN_STD), 1.0)
    return jnp.clip((jnp.asarray(x, jnp.float32) - stats.mean) / std, -CLIP, CLIP)
