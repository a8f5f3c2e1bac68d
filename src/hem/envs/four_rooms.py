"""A gridworld of four rooms connected by doors, with slippery floors.

As in Rauber et al. (2017): an 11 x 11 map of 104 cells, start in one of the four corners, goal
uniform over the other cells, 31 moves, and a fifth of all actions replaced by a random one. The
only stochastic task of the paper; the best possible policy succeeds in 0.998 of its episodes.

| | meaning | range |
|---|---|---|
| observation, achieved goal i8[22] | row and column, one-hot each | 0 or 1 |
| desired goal i8[22] | row and column of the goal, one-hot each | 0 or 1 |
| action | up, down, left, right; no effect at a wall | 0 .. 3 |

With ``encoding="coordinates"``, as in the original, positions and goals are f32[2], 0 .. 10. An
MLP then has to fit discontinuities at the walls, and hEM stays well below its one-hot success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs import drawing
from hem.system import validation
from hem.types import Discrete, JaxEnv, Task

NAME = "FourRooms"
MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.int32)
CORNERS = np.array([(0, 0), (0, 10), (10, 0), (10, 10)], np.int32)


def floor_plan() -> np.ndarray:
    """bool[11, 11], true for free cells."""
    free = np.ones((11, 11), bool)
    free[:, 5] = free[5, :5] = free[6, 6:] = False
    for door in [(5, 1), (2, 5), (6, 8), (9, 5)]:
        free[door] = True
    return free


@dataclass(frozen=True)
class Config:
    encoding: Literal["one-hot", "coordinates"] = "one-hot"
    """Encoding of cells in observations and goals."""
    random_actions: float = 0.2
    """Probability that an action is replaced by a uniformly random one."""
    horizon: int = 31
    """Moves per episode."""
    terminates_on_success: bool = True
    """End the episode when the goal is reached, as in the paper."""

    def __post_init__(self) -> None:
        validation.fractions(self, "random_actions")
        validation.sizes(self, "horizon")


def make(config: Config) -> JaxEnv:
    """The environment; ``config.random_actions`` = 0 makes it deterministic."""
    plan = floor_plan()
    corner = {tuple(c) for c in CORNERS}
    goals = np.array([c for c in np.argwhere(plan) if tuple(c) not in corner], np.int32)
    free = jnp.asarray(plan)
    corners, exits, moves = (jnp.asarray(x, jnp.int32) for x in (CORNERS, goals, MOVES))
    one_hot = config.encoding == "one-hot"

    def encode(cell: jax.Array) -> jax.Array:
        if one_hot:
            return jax.nn.one_hot(cell, 11, dtype=jnp.int8).reshape(22)
        return cell.astype(jnp.float32)

    def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        start_key, goal_key = jax.random.split(key)
        start = jax.random.choice(start_key, corners)
        return start, encode(jax.random.choice(goal_key, exits))

    def step(key: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        slip_key, action_key = jax.random.split(key)
        slips = jax.random.bernoulli(slip_key, config.random_actions)
        move = jnp.where(slips, jax.random.randint(action_key, (), 0, 4), action)
        target = state + moves[move]
        inside = jnp.all((target >= 0) & (target < 11))
        return jnp.where(inside & free[tuple(jnp.clip(target, 0, 10))], target, state)

    def observe(state: jax.Array) -> tuple[jax.Array, jax.Array]:
        position = encode(state)
        return position, position

    def render(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
        cell = np.asarray(goal).reshape(2, 11).argmax(-1) if one_hot else np.asarray(goal)
        return drawing.maze(plan, np.asarray(state), cell)

    shape, dtype = ((22,), np.dtype(np.int8)) if one_hot else ((2,), np.dtype(np.float32))
    task = Task(
        name=NAME,
        obs_shape=shape,
        obs_dtype=dtype,
        goal_shape=shape,
        goal_dtype=dtype,
        action=Discrete(4),
        horizon=config.horizon,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=config.terminates_on_success,
        version_hash=f"{NAME}-v0-{config.random_actions}",
        achieved_at=tuple(range(*shape)),
    )
    return JaxEnv(task, reset, step, observe, render)
