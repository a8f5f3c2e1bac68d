"""Running mean and variance that normalize network inputs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hem.system.collectives import total
from hem.types import Array

CLIP = 5.0  # standard deviations, as norm_clip in openai/baselines
MIN_STD = 1e-2  # so that a constant input is not blown up


class Statistics(NamedTuple):
    """Sufficient statistics of the vectors seen so far."""

    seen: Array  # f32     count
    mean: Array  # f32[D]
    m2: Array  # f32[D]   sum of squared deviations from the mean


def init(size: int) -> Statistics:
    """Empty statistics, with which ``normalize`` only clips."""
    mean, m2 = (jnp.zeros(size, jnp.float32) for _ in range(2))
    return Statistics(jnp.float32(0), mean, m2)


def update(stats: Statistics, x: Array, times: Array) -> Statistics:
    """Add each row of ``x`` [M, D] ``times`` [M] times (Chan et al. 1979, pairwise update).

    With several workers, these are the rows of all. Rows added 0 times may contain anything.
    """
    weight = jnp.asarray(times, jnp.float32)[:, None]
    rows = jnp.where(weight > 0, jnp.asarray(x, jnp.float32), 0.0)
    n, sums = total((jnp.sum(weight), jnp.sum(rows * weight, axis=0)))
    mean = sums / jnp.maximum(n, 1)
    m2 = total(jnp.sum(jnp.square(rows - mean) * weight, axis=0))
    seen = stats.seen + n
    share = n / jnp.maximum(seen, 1)
    delta = mean - stats.mean
    return Statistics(
        seen=seen,
        mean=stats.mean + delta * share,
        m2=stats.m2 + m2 + jnp.square(delta) * stats.seen * share,
    )


def normalize(stats: Statistics, x: Array) -> jax.Array:
    """``x`` [*, D] with zero mean and unit variance, clipped to 5 standard deviations."""
    return clip((jnp.asarray(x, jnp.float32) - stats.mean) / deviation(stats))


def clip(scaled: jax.Array) -> jax.Array:
    """``scaled``, within 5 standard deviations."""
    return jnp.clip(scaled, -CLIP, CLIP)


def deviation(stats: Statistics) -> jax.Array:
    """The standard deviation f32[D] by which ``normalize`` divides."""
    std = jnp.sqrt(stats.m2 / jnp.maximum(stats.seen, 1))
    return jnp.where(stats.seen > 0, jnp.maximum(std, MIN_STD), 1.0)
