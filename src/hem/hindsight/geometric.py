"""Goals achieved soon after the step: P(k - t = d) ~ g^d for d = 1, ..., length - t.

Prefers short paths, which mitigates the effect of averaging over detours on Theorem 3's bound. The
distribution is truncated at the end of the episode and renormalized. OGBench instead clips samples
beyond the end, so the last time gets the remaining probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.errors import require
from hem.hindsight import future
from hem.types import Array, Index, Replay, Strategy

NAME = "geometric"


@dataclass(frozen=True)
class Config:
    distance_discount: float = 0.9
    """g in P(d) ~ g^d, the probability of a goal achieved d steps later; 1 is ``future``."""

    def __post_init__(self) -> None:
        require(0 < self.distance_discount <= 1, "distance-discount must be in (0, 1]")


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> k i32[B]``, t < k <= length. The key is consumed."""
    if config.distance_discount == 1:
        return future.make(future.Config())
    log_g = math.log(config.distance_discount)

    def geometric(key: jax.Array, replay: Replay, index: Index) -> Array:
        remaining = replay.data.length[index.episode] - index.step
        # Inverse of the truncated distribution function (1 - g^d) / (1 - g^remaining).
        tail = jax.random.uniform(key, index.step.shape) * jnp.expm1(log_g * remaining)
        ahead = jnp.floor(jnp.log1p(tail) / log_g).astype(jnp.int32)
        return index.step + 1 + jnp.clip(ahead, 0, remaining - 1)

    return geometric
