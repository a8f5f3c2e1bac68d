"""Uniform over what came after the moment: k ~ U{t+1, ..., length}. The paper's choice.

The strategy of that name in Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.types import Index, Replay, Strategy

NAME = "future"


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> Index`` with t < k <= length. The key is consumed."""

    def future(key: jax.Array, replay: Replay, index: Index) -> Index:
        remaining = replay.data.length[index.episode] - index.t
        ahead = jnp.floor(jax.random.uniform(key, index.t.shape) * remaining).astype(jnp.int32)
        return index._replace(t=index.t + 1 + ahead)

    return future
