"""The goal achieved at the end of the episode: k = length.

The ``final`` strategy of Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax

from hem.types import Array, Index, Replay, Strategy

NAME = "final"


@dataclass(frozen=True)
class Config:
    """No settings."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> k i32[B]`` with k = length. The key is not used."""

    def final(key: jax.Array, replay: Replay, index: Index) -> Array:
        return replay.data.length[index.episode]

    return final
