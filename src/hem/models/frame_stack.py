"""Frame stacking: the policy sees the latest few observations.

A single image shows where things are, but not how they move. Each frame is stored once; frames are
stacked when they are read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from hem.types import Array


def latest(obs_at: Callable[[Any], Array], t: Any, frames: int) -> Array:
    """Return the latest observations up to time step ``t``, stacked along the last axis.

    Args:
        obs_at: ``(t) -> obs[N, ..., C]``, the stored observations of a time step.
        t: a time step, or i32[N] of them; before the first, the first is repeated.
        frames: how many.

    Returns:
        [N, ..., frames * C], oldest first.
    """
    if frames == 1:
        return obs_at(t)
    timesteps = [jnp.maximum(t - age, 0) for age in reversed(range(frames))]
    return jnp.concatenate([obs_at(timestep) for timestep in timesteps], axis=-1)


class Recent:
    """The latest observations of episodes that are run step by step."""

    def __init__(self, frames: int, first: np.ndarray) -> None:
        """Begin with observations [N, ..., C], which also stand for earlier ones."""
        self._kept = deque([np.asarray(first)] * frames, maxlen=frames)

    def add(self, obs: np.ndarray) -> None:
        """Add the observations [N, ..., C] of the next time step."""
        self._kept.append(np.array(obs))

    @property
    def seen(self) -> np.ndarray:
        """What the policy sees, [N, ..., frames * C]."""
        return np.concatenate(self._kept, axis=-1)
