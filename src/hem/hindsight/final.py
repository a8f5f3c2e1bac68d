"""What the episode ended with: k = length.

The strategy of that name in Andrychowicz et al. (2017), section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax

from hem.types import Index, Replay, Strategy

NAME = "final"


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def make(config: Config) -> Strategy:
    """The strategy ``(key, replay, index) -> Index`` with k = length. The key is not used."""

    def final(key: jax.Array, replay: Replay, index: Index) -> Index:
        return index._replace(t=replay.data.length[index.episode])

    return final
