"""FourRooms: four rooms joined by doors, with slippery floors.

As in Rauber et al. (2017): an 11 x 11 map of 104 cells, start in one of the four corners, goal
uniform over the other cells, 31 moves, and a fifth of all actions replaced by a random one. The
only stochastic world of the paper; the best possible policy succeeds in 0.998 of its episodes.

| | meaning | range |
|---|---|---|
| observation, achieved goal f32[2] | row, column | 0 .. 10 |
| desired goal f32[2] | row, column wanted | 0 .. 10 |
| action | up, down, left, right; nothing happens at a wall | 0 .. 3 |
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs import drawing
from hem.errors import require
from hem.types import Discrete, Task, World

NAME = "FourRooms"
MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.int32)
CORNERS = np.array([(0, 0), (0, 10), (10, 0), (10, 10)], np.int32)


def floor_plan() -> np.ndarray:
    """bool[11, 11], true where one can stand."""
    free = np.ones((11, 11), bool)
    free[:, 5] = free[5, :5] = free[6, 6:] = False
    for door in [(5, 1), (2, 5), (6, 8), (9, 5)]:
        free[door] = True
    return free


@dataclass(frozen=True)
class Config:
    random_actions: float = 0.2
    """Chance that an action is replaced by a uniformly random one."""
    horizon: int = 31
    """Moves in an episode."""
    terminates_on_success: bool = True
    """End the episode where the goal is reached, as in the paper."""

    def __post_init__(self) -> None:
        require(0 <= self.random_actions <= 1, "random-actions must be in [0, 1]")
        require(self.horizon >= 1, f"horizon must be at least 1, not {self.horizon}")


def make(config: Config) -> World:
    """The world; ``config.random_actions`` = 0 makes it deterministic."""
    plan = floor_plan()
    corner = {tuple(c) for c in CORNERS}
    goals = np.array([c for c in np.argwhere(plan) if tuple(c) not in corner], np.int32)
    free, corners, exits, moves = map(jnp.asarray, (plan, CORNERS, goals, MOVES))

    def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        start_key, goal_key = jax.random.split(key)
        goal = jax.random.choice(goal_key, exits)
        return jax.random.choice(start_key, corners), goal.astype(jnp.float32)

    def step(key: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        slip_key, action_key = jax.random.split(key)
        slips = jax.random.bernoulli(slip_key, config.random_actions)
        move = jnp.where(slips, jax.random.randint(action_key, (), 0, 4), action)
        target = state + moves[move]
        inside = jnp.all((target >= 0) & (target < 11))
        return jnp.where(inside & free[tuple(jnp.clip(target, 0, 10))], target, state)

    def observe(state: jax.Array) -> tuple[jax.Array, jax.Array]:
        position = state.astype(jnp.float32)
        return position, position

    def draw(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return drawing.maze(plan, np.asarray(state), np.asarray(goal))

    task = Task(
        name=NAME,
        obs_shape=(2,),
        obs_dtype=np.dtype(np.float32),
        goal_shape=(2,),
        goal_dtype=np.dtype(np.float32),
        action=Discrete(4),
        horizon=config.horizon,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=config.terminates_on_success,
        fingerprint=f"{NAME}-v0-{config.random_actions}",
    )
    return World(task, reset, step, observe, draw)
