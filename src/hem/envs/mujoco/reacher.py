"""A two-link arm moves its fingertip to a target position in the plane (MuJoCo).

Gymnasium's Reacher without the target: there, the target is a joint of the model and part of the
observation, so a policy trained with relabeled goals would read the episode's original goal from
it. Otherwise it is equal step by step, except that the fingertip is computed from the state, and
Gymnasium's from the last stage of the integrator.

| | meaning | unit |
|---|---|---|
| observation f32[8] | of both joints cosine 2, sine 2, velocity 2; fingertip 2 | rad/s, m |
| achieved goal f32[2] | fingertip position | m |
| desired goal f32[2] | target position, uniform within 0.2 of the shoulder | m |
| action f32[2] | torque on shoulder and elbow | -1 .. 1, of 200 N m |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State, uniform
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.engine.model import asset, import_mujoco
from hem.envs.mujoco.engine.task import Cameras, MujocoOptions, TaskSpec, build, within
from hem.system import validation
from hem.types import BatchedEnv, Box

NAME = "Reacher"
SUBSTEPS = 2  # of 10 ms each: an action is held for 20 ms
REACH = 0.2  # m, from the shoulder to the farthest goal
ANGLE_NOISE, VELOCITY_NOISE = 0.1, 0.005  # rad and rad/s, around the extended arm at rest
ANGLE, VELOCITY = slice(1, 3), slice(3, 5)  # columns of the physics state; 0 is the time
SEEN, ORANGE = 0.016, (1.0, 0.5, 0.0, 1.0)  # m, look of the fingertip: 3 of 48 pixels wide
FROM_ABOVE = View(lookat=(0.0, 0.0, 0.0), distance=0.56, azimuth=90.0, elevation=-90.0)


@dataclass(frozen=True)
class Config(MujocoOptions):
    threshold: float = 0.05
    """Distance from fingertip to goal that counts as success, as a fraction of the diameter of the
    disc of goals: 0.05 is 0.02 m (hard), 0.125 is 0.05 m (easy)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    model = compile_arm()
    threshold = config.threshold * 2 * REACH
    task_spec = TaskSpec(NAME, 8, 2, Box((-1.0,) * 2, (1.0,) * 2), within(threshold), (6, 7))
    physics = Physics(model, import_mujoco().mjtState.mjSTATE_CTRL, SUBSTEPS)
    cameras = Cameras(
        obs_camera=FROM_ABOVE,
        video_camera=FROM_ABOVE,
        hidden=(),
        point=lambda goal: np.append(goal, 0.03),  # above the arm, not hidden by it
        radius=threshold,
    )
    return build(task_spec, config, model, physics, _rules(model), cameras)


def compile_arm() -> Any:
    """Compile Gymnasium's model without its target, and with a look that suits small images."""
    file = asset("gymnasium", "gymnasium>=1.3", "envs/mujoco/assets/reacher.xml")
    spec = import_mujoco().MjSpec.from_file(str(file))
    spec.detach_body(spec.body("target"))
    spec.body("fingertip").add_site(size=[SEEN] * 3, rgba=ORANGE)
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.5] * 3, [0.5] * 3
    return spec.compile()


def _rules(model: Any) -> Rules:
    upper, fore = (float(model.body(name).pos[0]) for name in ("body1", "fingertip"))
    bend = float(model.joint("joint1").range[1])

    def start(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = uniform(keys, 6)
        physics = np.zeros((len(keys), VELOCITY.stop))
        physics[:, ANGLE] = ANGLE_NOISE * (2 * u[:, :2] - 1)
        physics[:, VELOCITY] = VELOCITY_NOISE * (2 * u[:, 2:4] - 1)
        radius, turn = REACH * np.sqrt(u[:, 4]), 2 * np.pi * u[:, 5]
        goal = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
        return physics, goal.astype(np.float32)

    def control(state: State, action: np.ndarray) -> np.ndarray:
        return action

    def post_step(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return substates[:, -1], substates[:, -1]

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        angle = state.physics[:, ANGLE]
        obs = np.empty((len(angle), 8), np.float32)
        obs[:, 0:2] = np.cos(angle)
        obs[:, 2:4] = np.sin(angle)
        obs[:, 4:6] = state.physics[:, VELOCITY]
        obs[:, 6:8] = fingertip(angle, upper, fore)
        return obs, obs[:, 6:8]

    def goal_state(goal: np.ndarray) -> np.ndarray:
        physics = np.zeros((len(goal), VELOCITY.stop))
        physics[:, ANGLE] = angles(goal, upper, fore, bend)
        return physics

    return Rules(start, control, post_step, observe, goal_state, batched_start=True)


def fingertip(angle: np.ndarray, upper: float, fore: float) -> np.ndarray:
    """Return the fingertip position f64[N, 2] in m at angles[N, 2]; link lengths are in m."""
    along = angle[:, 0] + angle[:, 1]  # of the forearm
    x = upper * np.cos(angle[:, 0]) + fore * np.cos(along)
    y = upper * np.sin(angle[:, 0]) + fore * np.sin(along)
    return np.stack([x, y], axis=1)


def angles(point: np.ndarray, upper: float, fore: float, bend: float) -> np.ndarray:
    """Return angles f64[N, 2] that bring the fingertip to point[N, 2], or as close as possible.

    The elbow bends to the left, by at most ``bend``: the fingertip cannot get closer to the
    shoulder than 0.018 m.
    """
    x, y = point[:, 0].astype(np.float64), point[:, 1].astype(np.float64)
    cosine = (x**2 + y**2 - upper**2 - fore**2) / (2 * upper * fore)
    elbow = np.minimum(np.arccos(np.clip(cosine, -1, 1)), bend)
    shoulder = np.arctan2(y, x) - np.arctan2(fore * np.sin(elbow), upper + fore * np.cos(elbow))
    return np.stack([shoulder, elbow], axis=1)
