"""Move a point in the cube [-1, 1]^K to a goal position.

The paper's scaling test in continuous spaces (section 4.1). Its text does not give bounds and
threshold, so cube, step and threshold here are our choice.

| | meaning | range |
|---|---|---|
| observation, achieved goal f32[K] | position | -1 .. 1 |
| desired goal f32[K] | goal position | -1 .. 1 |
| action f32[K] | change of position, clipped at the walls | -0.2 .. 0.2 |
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs import drawing
from hem.system import validation
from hem.types import Box, JaxEnv, Task

NAME = "Navigation"
STEP = 0.2  # the largest move in each dimension


@dataclass(frozen=True)
class Config:
    dim: int = 2
    """Dimensions of the cube, K."""
    threshold: float = 0.1
    """Euclidean distance to the goal that counts as success."""
    horizon: int = 50
    """Steps per episode."""
    terminates_on_success: bool = True
    """End the episode when the goal is reached, as in the paper."""

    def __post_init__(self) -> None:
        validation.positive(self, "threshold")
        validation.sizes(self, "dim", "horizon")


def make(config: Config) -> JaxEnv:
    """The environment with ``config.dim`` dimensions."""
    shape = (config.dim,)

    def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        start, goal = jax.random.uniform(key, (2, *shape), minval=-1, maxval=1)
        return start, goal

    def step(key: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.clip(state + jnp.clip(action, -STEP, STEP), -1, 1)

    def render(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return drawing.points(np.asarray(state), np.asarray(goal), config.threshold)

    task = Task(
        name=NAME,
        obs_shape=shape,
        obs_dtype=np.dtype(np.float32),
        goal_shape=shape,
        goal_dtype=np.dtype(np.float32),
        action=Box((-STEP,) * config.dim, (STEP,) * config.dim),
        horizon=config.horizon,
        success=lambda achieved, goal: ((achieved - goal) ** 2).sum(-1) < config.threshold**2,
        terminates_on_success=config.terminates_on_success,
        version_hash=f"{NAME}-v0-{config.dim}-{config.threshold}",
        achieved_at=tuple(range(config.dim)),
    )
    return JaxEnv(task, reset, step, lambda state: (state, state), render)
