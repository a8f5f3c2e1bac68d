"""Any goal achieved after the step: k ~ U{t+1, ..., length}. The paper's choice.

The ``future`` strategy of Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.types import Array, Index, Replay, Strategy

NAME = "future"


@dataclass(frozen=True)
class Config:
    """No settings."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> k i32[B]``, t < k <= length. The key is consumed."""

    def future(key: jax.Array, replay: Replay, index: Index) -> Array:
        remaining = replay.data.length[index.episode] - index.step
        ahead = jnp.floor(jax.random.uniform(key, index.step.shape) * remaining).astype(jnp.int32)
        return index.step + 1 + ahead

    return future
