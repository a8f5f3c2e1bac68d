"""Uniform over the next few steps: k ~ U{t+1, ..., min(t + window, length)}."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.system import validation
from hem.types import Array, Index, Replay, Strategy

NAME = "window"


@dataclass(frozen=True)
class Config:
    """How far ahead it looks."""

    window: int = 5
    """The most steps between an action and its goal."""

    def __post_init__(self) -> None:
        validation.sizes(self, "window")


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> k i32[B]``. The key is consumed."""

    def window(key: jax.Array, replay: Replay, index: Index) -> Array:
        remaining = replay.data.length[index.episode] - index.step
        choices = jnp.minimum(remaining, config.window)
        ahead = jnp.floor(jax.random.uniform(key, index.step.shape) * choices).astype(jnp.int32)
        return index.step + 1 + ahead

    return window
