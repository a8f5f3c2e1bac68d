"""Goals reached soon are likelier: P(k - t = d) ~ g^d for d = 1, ..., length - t.

Prefers short paths, and so fixes what averaging over detours does to Theorem 3's bound. The
distribution is truncated at the end of the episode and normalized again. OGBench's clips draws that
go past the end, and so gives the last moment what is left of the distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.errors import require
from hem.hindsight import future
from hem.types import Index, Replay, Strategy

NAME = "geometric"


@dataclass(frozen=True)
class Config:
    distance_discount: float = 0.9
    """g in P(d) ~ g^d, the chance of a goal reached d steps later; 1 makes it ``future``."""

    def __post_init__(self) -> None:
        require(0 < self.distance_discount <= 1, "distance-discount must be in (0, 1]")


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> Index`` with t < k <= length. The key is consumed."""
    if config.distance_discount == 1:
        return future.make(future.Config())
    log_g = math.log(config.distance_discount)

    def geometric(key: jax.Array, replay: Replay, index: Index) -> Index:
        remaining = replay.data.length[index.episode] - index.t
        # Inverse of the truncated distribution function (1 - g^d) / (1 - g^remaining).
        tail = jax.random.uniform(key, index.t.shape) * jnp.expm1(log_g * remaining)
        ahead = jnp.floor(jnp.log1p(tail) / log_g).astype(jnp.int32)
        return index._replace(t=index.t + 1 + jnp.clip(ahead, 0, remaining - 1))

    return geometric
