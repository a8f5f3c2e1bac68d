"""What the policy sees where one observation does not tell all: the latest few of them.

An image shows where things are and not how they move. Frames are stored once each; they are put
together where they are looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from hem.types import Array


def latest(obs_at: Callable[[Any], Array], t: Any, frames: int) -> Array:
    """Return the observations of the moments up to ``t``, on one another along their last axis.

    Args:
        obs_at: ``(t) -> obs[N, ..., C]``, the stored observations of a moment.
        t: a moment, or i32[N] of them; before the first, the first is repeated.
        frames: how many.

    Returns:
        [N, ..., frames * C], the oldest first.
    """
    if frames == 1:
        return obs_at(t)
    moments = [jnp.maximum(t - age, 0) for age in reversed(range(frames))]
    return jnp.concatenate([obs_at(moment) for moment in moments], axis=-1)


class Recent:
    """The latest observations of episodes that are run step by step."""

    def __init__(self, frames: int, first: np.ndarray) -> None:
        """Begin with observations [N, ..., C], taken for those before them too."""
        self._kept = deque([np.asarray(first)] * frames, maxlen=frames)

    def add(self, obs: np.ndarray) -> None:
        """Take in the observations [N, ..., C] of the next moment."""
        self._kept.append(np.array(obs))

    @property
    def seen(self) -> np.ndarray:
        """What the policy sees, [N, ..., frames * C]."""
        return np.concatenate(self._kept, axis=-1)
