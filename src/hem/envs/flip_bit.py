"""Flip one of K bits per step until all bits match the goal.

As in Andrychowicz et al. (2017, section 3.1): start and goal are uniform, K steps. The goal space
has 2^K points, so a random policy practically never sees a reward. Rauber et al. (2017) start at
zero (``--zero-start``), which is easier: bits only have to be set, never cleared.

| | meaning | range |
|---|---|---|
| observation, achieved goal i8[K] | the bits | 0 or 1 |
| desired goal i8[K] | the goal bits | 0 or 1 |
| action | the bit to flip | 0 .. K-1 |
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs import drawing
from hem.system import validation
from hem.types import Discrete, JaxEnv, Task

NAME = "FlipBit"


@dataclass(frozen=True)
class Config:
    bits: int = 25
    """Number of bits, K."""
    horizon: int = 0
    """Steps per episode; 0 means the number of bits."""
    terminates_on_success: bool = True
    """End the episode when the goal is reached, as in the paper."""
    zero_start: bool = False
    """Start with all bits 0, as in the HPG authors' tasks."""

    def __post_init__(self) -> None:
        validation.sizes(self, "bits")
        validation.at_least(0, self, "horizon")


def make(config: Config) -> JaxEnv:
    """The environment with ``config.bits`` bits."""
    bits = config.bits

    def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        start, goal = jax.random.bernoulli(key, shape=(2, bits)).astype(jnp.int8)
        return (jnp.zeros_like(start) if config.zero_start else start), goal

    def step(key: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        return state ^ (jnp.arange(bits) == action)

    def render(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return drawing.cells([np.asarray(state), np.asarray(goal)], ["bits", "goal"])

    task = Task(
        name=NAME,
        obs_shape=(bits,),
        obs_dtype=np.dtype(np.int8),
        goal_shape=(bits,),
        goal_dtype=np.dtype(np.int8),
        action=Discrete(bits),
        horizon=config.horizon or bits,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=config.terminates_on_success,
        version_hash=f"{NAME}-v0-{bits}",
        achieved_at=tuple(range(bits)),
    )
    return JaxEnv(task, reset, step, lambda state: (state, state), render)
