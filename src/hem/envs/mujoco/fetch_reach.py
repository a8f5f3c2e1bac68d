"""A robot arm brings its gripper to a point in the air, on MuJoCo physics.

Equal, step by step, to the environment of that name in gymnasium-robotics, but thousands of
episodes at once. The gripper's fingers are kept shut.

| | meaning | unit |
|---|---|---|
| observation f32[10] | positions of grip 3 and fingers 2, velocities of the same 5 | m, m/step |
| achieved goal f32[3] | grip position | m |
| desired goal f32[3] | grip position wanted, within 0.15 of the start in each axis | m |
| action f32[4] | pull on the gripper in x, y, z; the fourth does nothing | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hem.envs.mujoco import fetch
from hem.envs.mujoco.engine.batched import Rules, State
from hem.envs.mujoco.engine.task import MujocoOptions, TaskSpec, build, within
from hem.system import validation
from hem.types import Simulator

NAME = "FetchReach-v4"
GOAL_RANGE = 0.15  # m, of goals around the start along each axis
BASE = {"robot0:slide0": 0.4049, "robot0:slide1": 0.48, "robot0:slide2": 0.0}  # m


@dataclass(frozen=True)
class Config(MujocoOptions):
    threshold: float = 0.05
    """Distance from grip to goal, in metres, that counts as success."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")


def make(config: Config) -> Simulator:
    """Return the simulator, with one thread per usable core."""
    model = fetch.compile_fetch("reach.xml")
    outline = TaskSpec(NAME, 10, 3, fetch.ACTION, within(config.threshold))
    return build(outline, config, model, fetch.physics(model), _rules(model), fetch.SCENE)


def _rules(model: Any) -> Rules:
    at = fetch.layout(model)
    first, grip = fetch.set_up(model, BASE, extra_height=0.2)

    def start(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.random.default_rng(key).uniform(-GOAL_RANGE, GOAL_RANGE, size=3)
        return first, (grip + offset).astype(np.float32)

    def control(state: State, action: np.ndarray) -> np.ndarray:
        return fetch.mocap_control(at, state, action)

    def settle(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shut = fetch.shut_fingers(at, path[:, -1])
        return shut, shut

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        grip, moved = fetch.observe_gripper(at, state)
        obs = np.concatenate([grip, state.physics[:, at.fingers], moved], axis=1)
        return obs.astype(np.float32), grip.astype(np.float32)

    return Rules(start, control, settle, observe)
