"""A token on a circle of cells moves left, right, or not at all, to a cell that is asked for.

| | meaning | range |
|---|---|---|
| observation, achieved goal i8[N] | where the token is, one-hot | 0 or 1 |
| desired goal i8[N] | where it should be, one-hot | 0 or 1 |
| action | left, stay, right | 0 .. 2 |
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs import drawing
from hem.system import validation
from hem.types import Discrete, JaxEnv, Task

NAME = "Carousel"


@dataclass(frozen=True)
class Config:
    """The circle."""

    cells: int = 12
    """Number of cells, N."""
    slip: float = 0.1
    """Chance that a step does nothing."""
    terminates_on_success: bool = True
    """End the episode where the goal is reached."""

    def __post_init__(self) -> None:
        validation.sizes(self, "cells")
        validation.fractions(self, "slip")


def make(config: Config) -> JaxEnv:
    """The environment of ``config.cells`` cells."""
    cells = config.cells

    def one_hot(cell: jax.Array) -> jax.Array:
        return (jnp.arange(cells) == cell).astype(jnp.int8)

    def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        start, goal = jax.random.randint(key, (2,), 0, cells)
        return start, one_hot(goal)

    def step(key: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        moves = jax.random.uniform(key) >= config.slip
        return (state + moves * (action - 1)) % cells

    def observe(state: jax.Array) -> tuple[jax.Array, jax.Array]:
        return one_hot(state), one_hot(state)

    def render(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
        token = np.arange(cells) == np.asarray(state)
        return drawing.cells([token, np.asarray(goal)], ["token", "goal"])

    task = Task(
        name=NAME,
        obs_shape=(cells,),
        obs_dtype=np.dtype(np.int8),
        goal_shape=(cells,),
        goal_dtype=np.dtype(np.int8),
        action=Discrete(3),
        horizon=cells,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=config.terminates_on_success,
        version_hash=f"{NAME}-v0-{cells}-{config.slip}",
        achieved_at=tuple(range(cells)),
    )
    return JaxEnv(task, reset, step, observe, render)
