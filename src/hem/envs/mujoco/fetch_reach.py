"""A Fetch arm moves its gripper to a target position in the air (MuJoCo).

Step by step equal to the environment of the same name in gymnasium-robotics, but with thousands of
episodes at once. The gripper stays closed.

| | meaning | unit |
|---|---|---|
| observation f32[10] | positions of grip 3 and fingers 2, velocities of the same 5 | m, m/step |
| achieved goal f32[3] | grip position | m |
| desired goal f32[3] | target grip position, within 0.15 of the start along each axis | m |
| action f32[4] | displacement of the gripper in x, y, z; fourth unused | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hem.envs.mujoco import fetch
from hem.envs.mujoco.engine.batched import Rules, State
from hem.envs.mujoco.engine.task import MujocoOptions, TaskSpec, build, within
from hem.system import validation
from hem.types import BatchedEnv

NAME = "FetchReach-v4"
GOAL_RANGE = 0.15  # m, of goals around the start, along each axis
BASE = {"robot0:slide0": 0.4049, "robot0:slide1": 0.48, "robot0:slide2": 0.0}  # m


@dataclass(frozen=True)
class Config(MujocoOptions):
    threshold: float = 0.05
    """Distance from grip to goal that counts as success, in meters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    model = fetch.compile_fetch("reach.xml")
    task_spec = TaskSpec(NAME, 10, 3, fetch.ACTION, within(config.threshold), (0, 1, 2))
    return build(task_spec, config, model, fetch.physics(model), _rules(model), fetch.SCENE)


def _rules(model: Any) -> Rules:
    at = fetch.layout(model)
    first, grip = fetch.set_up(model, BASE, extra_height=0.2)

    def start(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.random.default_rng(key).uniform(-GOAL_RANGE, GOAL_RANGE, size=3)
        return first, (grip + offset).astype(np.float32)

    def control(state: State, action: np.ndarray) -> np.ndarray:
        return fetch.mocap_control(at, state, action)

    def post_step(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shut = fetch.shut_fingers(at, substates[:, -1])
        return shut, shut

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        grip, moved = fetch.observe_gripper(at, state)
        obs = np.concatenate([grip, state.physics[:, at.fingers], moved], axis=1)
        return obs.astype(np.float32), grip.astype(np.float32)

    return Rules(start, control, post_step, observe)
