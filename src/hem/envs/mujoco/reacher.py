"""An arm of two links brings its fingertip to a point in the plane, on MuJoCo physics.

Gymnasium's Reacher without the target in it: there the target is a joint of the model and part of
the observation, from which a policy that learns in hindsight would read the goal of the day
instead of the one it is asked for. All else is that environment's, step by step, but the
fingertip is where the state has it: Gymnasium's is what the last stage of the integrator saw.

| | meaning | unit |
|---|---|---|
| observation f32[8] | of both joints cosine 2, sine 2, velocity 2; fingertip 2 | rad/s, m |
| achieved goal f32[2] | fingertip | m |
| desired goal f32[2] | fingertip wanted, uniform within 0.2 of the shoulder | m |
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
from hem.types import Box, Simulator

NAME = "Reacher"
SUBSTEPS = 2  # of 10 ms each: an action is held for 20 ms
REACH = 0.2  # m, from the shoulder to the farthest goal
ANGLE_NOISE, VELOCITY_NOISE = 0.1, 0.005  # rad and rad/s, around the stretched arm at rest
ANGLE, VELOCITY = slice(1, 3), slice(3, 5)  # columns of the physics state; 0 is the time
SEEN, ORANGE = 0.016, (1.0, 0.5, 0.0, 1.0)  # m, how the fingertip looks: 3 pixels of 48 wide
FROM_ABOVE = View(lookat=(0.0, 0.0, 0.0), distance=0.56, azimuth=90.0, elevation=-90.0)


@dataclass(frozen=True)
class Config(MujocoOptions):
    threshold: float = 0.05
    """Distance from fingertip to goal that counts as success, as a fraction of the width of the
    disc of goals: 0.05 is 0.02 m, hard; 0.125 is 0.05 m, easy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")


def make(config: Config) -> Simulator:
    """Return the simulator, with one thread per usable core."""
    model = compile_arm()
    threshold = config.threshold * 2 * REACH
    outline = TaskSpec(NAME, 8, 2, Box((-1.0,) * 2, (1.0,) * 2), within(threshold))
    physics = Physics(model, import_mujoco().mjtState.mjSTATE_CTRL, SUBSTEPS)
    scene = Cameras(
        obs_camera=FROM_ABOVE,
        video_camera=FROM_ABOVE,
        hidden=(),
        point=lambda goal: np.append(goal, 0.03),  # above the arm, which would hide it
        radius=threshold,
    )
    return build(outline, config, model, physics, _rules(model), scene)


def compile_arm() -> Any:
    """Compile Gymnasium's model without its target, and such that small images are clear."""
    file = asset("gymnasium", "gymnasium>=1.4", "envs/mujoco/assets/reacher.xml")
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

    def settle(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return path[:, -1], path[:, -1]

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        angle = state.physics[:, ANGLE]
        obs = np.empty((len(angle), 8), np.float32)
        obs[:, 0:2] = np.cos(angle)
        obs[:, 2:4] = np.sin(angle)
        obs[:, 4:6] = state.physics[:, VELOCITY]
        obs[:, 6:8] = fingertip(angle, upper, fore)
        return obs, obs[:, 6:8]

    def fulfil(goal: np.ndarray) -> np.ndarray:
        physics = np.zeros((len(goal), VELOCITY.stop))
        physics[:, ANGLE] = angles(goal, upper, fore, bend)
        return physics

    return Rules(start, control, settle, observe, fulfil, starts_together=True)


def fingertip(angle: np.ndarray, upper: float, fore: float) -> np.ndarray:
    """Return where the fingertip is, f64[N, 2] in m, at angles[N, 2]; the links' lengths in m."""
    along = angle[:, 0] + angle[:, 1]  # of the forearm
    x = upper * np.cos(angle[:, 0]) + fore * np.cos(along)
    y = upper * np.sin(angle[:, 0]) + fore * np.sin(along)
    return np.stack([x, y], axis=1)


def angles(point: np.ndarray, upper: float, fore: float, bend: float) -> np.ndarray:
    """Return angles f64[N, 2] that bring the fingertip to point[N, 2], or as near as it can get.

    The elbow bends to the left, by ``bend`` at most: nearer to the shoulder than 0.018 m it
    cannot fold the arm.
    """
    x, y = point[:, 0].astype(np.float64), point[:, 1].astype(np.float64)
    cosine = (x**2 + y**2 - upper**2 - fore**2) / (2 * upper * fore)
    elbow = np.minimum(np.arccos(np.clip(cosine, -1, 1)), bend)
    shoulder = np.arctan2(y, x) - np.arctan2(fore * np.sin(elbow), upper + fore * np.cos(elbow))
    return np.stack([shoulder, elbow], axis=1)
