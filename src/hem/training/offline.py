"""Learning from data alone: the loop without a collector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hem.replay.buffer import empty_episodes
from hem.training.rollout import Collect
from hem.training.workers import Workers
from hem.types import Episodes, Task


def no_collector(task: Task, workers: Workers) -> Collect:
    """A collector that takes no steps: it returns an episode of length 0, which nothing learns."""
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), empty_episodes(task, 1))
    lost = workers.same(blank)

    def collect(key: jax.Array, agent_state: Any, first_episode: int) -> Episodes:
        return lost

    return collect
