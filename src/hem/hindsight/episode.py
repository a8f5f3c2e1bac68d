"""Any goal achieved in the same episode, before or after the moment: k ~ U{1, ..., length}.

The strategy of that name in Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.types import Index, Replay, Strategy

NAME = "episode"


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> Index`` with 0 < k <= length. The key is consumed.

    The goal may lie in the past, so what follows is a comparison for methods with a critic: hEM
    learns from it actions that did not lead to the goal.
    """

    def episode(key: jax.Array, replay: Replay, index: Index) -> Index:
        length = replay.data.length[index.episode]
        before = jnp.floor(jax.random.uniform(key, index.t.shape) * length).astype(jnp.int32)
        return index._replace(t=1 + before)

    return episode
