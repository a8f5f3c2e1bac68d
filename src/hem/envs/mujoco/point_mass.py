"""A ball is pushed through the doors of four rooms with solid walls (MuJoCo).

The paper's point mass with obstacles, whose geometry it does not give: here a house of 1.2 m x
1.2 m, as in GCSL (Ghosh et al. 2019). At full speed, a step of 0.1 s covers 0.12 m, and the longest
path takes 16 of the 50 steps; the rest is slack for sliding along walls to a door. An episode
starts at rest in the south-west room, with a goal anywhere in the house, both uniform over the free
floor. Starts are thus diverse, but there is only one way to each goal; with starts in the whole
house (``--start house``), hEM stays at 0.9.

| | meaning | unit |
|---|---|---|
| observation f32[4] | position of the ball 2, its velocity 2 | m, m/s |
| achieved goal f32[2] | position of the ball | m |
| desired goal f32[2] | target position, within 0.55 of the center in x and y | m |
| action f32[2] | force in x and y | -1 .. 1, of 1.2 N |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State, uniform
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.engine.model import compile_model, import_mujoco
from hem.envs.mujoco.engine.task import Cameras, MujocoOptions, TaskSpec, build, within
from hem.system import validation
from hem.types import BatchedEnv, Box

NAME = "PointMass"
SUBSTEPS = 10  # of 10 ms each: an action is held for 0.1 s
SIDE = 1.2  # m, of the house
POSITION, VELOCITY = slice(1, 3), slice(3, 5)  # columns of the physics state; 0 is the time
FROM_ABOVE = View(lookat=(0.0, 0.0, 0.0), distance=1.0, azimuth=90.0, elevation=-90.0)


@dataclass(frozen=True)
class Config(MujocoOptions):
    threshold: float = 0.05
    """Distance from ball to goal that counts as success, as a fraction of the house's side: 0.05
    is 0.06 m. Published values range from 0.02 (hard) to 0.1."""
    start: Literal["room", "house"] = "room"
    """Where episodes start: in the south-west room, or anywhere in the house (harder)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")
        validation.one_of(("room", "house"), self, "start")


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    model = compile_model(Path(__file__).with_name("point_mass.xml"), {})
    threshold = config.threshold * SIDE
    task_spec = TaskSpec(NAME, 4, 2, Box((-1.0,) * 2, (1.0,) * 2), within(threshold), (0, 1))
    physics = Physics(model, import_mujoco().mjtState.mjSTATE_CTRL, SUBSTEPS)
    above = 2 * model.geom("ball").size[0]
    cameras = Cameras(
        obs_camera=FROM_ABOVE,
        video_camera=FROM_ABOVE,
        hidden=(),
        point=lambda goal: np.append(goal, above),  # not hidden by the ball
        radius=threshold,
    )
    return build(task_spec, config, model, physics, _rules(model, config.start), cameras)


def _rules(model: Any, where: str) -> Rules:
    place = free_floor(model)

    def at_rest(position: np.ndarray) -> np.ndarray:
        physics = np.zeros((len(position), VELOCITY.stop))
        physics[:, POSITION] = position
        return physics

    def start(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = uniform(keys, 6)
        first, goal = place(u[:, :3]), place(u[:, 3:]).astype(np.float32)
        # The house is symmetric, so folding keeps the distribution uniform.
        return at_rest(-np.abs(first) if where == "room" else first), goal

    def control(state: State, action: np.ndarray) -> np.ndarray:
        return action

    def post_step(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return substates[:, -1], substates[:, -1]

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        obs = state.physics[:, 1:].astype(np.float32)
        return obs, obs[:, :2]

    return Rules(start, control, post_step, observe, at_rest, batched_start=True)


def free_floor(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a map from uniform numbers u[N, 3] to positions f64[N, 2] of the ball, m.

    They are uniform over the free floor. (At corners of walls, a square of the ball's radius is
    excluded instead of a quarter disc: slightly too much.)
    """
    low, high = free_rectangles(model)
    share = np.cumsum((high - low).prod(axis=1))
    share /= share[-1]

    def place(u: np.ndarray) -> np.ndarray:
        chosen = np.searchsorted(share, u[:, 0], side="right")
        return low[chosen] + u[:, 1:] * (high - low)[chosen]

    return place


def free_rectangles(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return opposite corners, f64[R, 2] each, of rectangles that tile the ball's free floor.

    The edges of all walls, moved outward by the ball's radius, cut the floor into rectangles; each
    is either free or within a wall.
    """
    radius = model.geom("ball").size[0]
    walls = [i for i in range(model.ngeom) if model.geom(i).bodyid == 0 and model.geom(i).contype]
    reach = model.geom_size[walls, :2] + radius
    near, far = model.geom_pos[walls, :2] - reach, model.geom_pos[walls, :2] + reach
    x, y = (np.unique(np.concatenate([near[:, i], far[:, i]]).round(9)) for i in (0, 1))
    low = np.stack(np.meshgrid(x[:-1], y[:-1]), axis=-1).reshape(-1, 2)
    high = np.stack(np.meshgrid(x[1:], y[1:]), axis=-1).reshape(-1, 2)
    middle = (low + high)[:, None] / 2
    free = ~((near < middle) & (middle < far)).all(axis=-1).any(axis=-1)
    return low[free], high[free]
