"""Any goal achieved in the same episode, before or after the step: k ~ U{1, ..., length}.

The ``episode`` strategy of Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.types import Array, Index, Replay, Strategy

NAME = "episode"


@dataclass(frozen=True)
class Config:
    """No settings."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> k i32[B]`` with 0 < k <= length. The key is consumed.

    The goal may lie in the past, so this is a baseline for methods with a critic: hEM would imitate
    actions that did not lead to the goal.
    """

    def episode(key: jax.Array, replay: Replay, index: Index) -> Array:
        length = replay.data.length[index.episode]
        before = jnp.floor(jax.random.uniform(key, index.step.shape) * length).astype(jnp.int32)
        return 1 + before

    return episode
