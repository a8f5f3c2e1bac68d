"""Shared parts of the Fetch tasks with an object that is to be moved to a target position.

A task is a ``Setting``, i.e. numbers, and a scene. Each reproduces the environment of the same name
in gymnasium-robotics step by step; random numbers are drawn in the same order, so that the same
generator gives the same start and goal.

| observation f32[25] | meaning | unit |
|---|---|---|
| 0-2, 3-5, 6-8 | positions of the grip, the object, and the object relative to the grip | m |
| 9-10 | positions of the two fingers | m |
| 11-13 | the object's rotation, as angles about x, y, z | rad |
| 14-16, 17-19 | the object's velocity relative to the grip; its angular velocity | m, rad/step |
| 20-22, 23-24 | velocities of the grip and of the fingers | m/step |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco import fetch
from hem.envs.mujoco.engine.batched import Rules, State
from hem.envs.mujoco.engine.model import Sensor, position_column, sensor_columns
from hem.envs.mujoco.engine.task import Cameras, MujocoOptions, TaskSpec, build, within
from hem.envs.mujoco.engine.warm_start import ResumablePhysics, with_warm_start
from hem.system import validation
from hem.types import BatchedEnv

CLEARANCE = 0.1  # m, the minimum horizontal distance from the grip to the object at the start
UPRIGHT = 4 * np.finfo(np.float64).eps  # below this cosine, x and z rotate about the same axis

POSITION, VELOCITY, SPIN = "object", "object velocity", "object spin"
AXES = ("object x axis", "object y axis", "object z axis")
SENSORS = {
    POSITION: Sensor("framepos", "site", "object0"),
    # Columns of the rotation matrix; a quaternion would add rounding errors.
    **{name: Sensor(f"frame{name[7]}axis", "site", "object0") for name in AXES},
    VELOCITY: Sensor("framelinvel", "site", "object0"),
    SPIN: Sensor("frameangvel", "site", "object0"),
}
JOINT = "object0:joint"


class Setting(NamedTuple):
    """A task in numbers; lengths are in m, and ranges apply to each axis."""

    xml: str  # the model file
    joints: Mapping[str, float | Sequence[float]]  # initial positions of base and object
    extra_height: float  # of the grip above the height for pushing, at the start
    moves_fingers: bool  # whether actions open and close the gripper; otherwise it stays closed
    object_range: float  # of the object's start around the grip
    goal_range: float  # of goals around the grip plus ``goal_offset``
    goal_offset: tuple[float, float] = (0.0, 0.0)
    lift: float = 0.0  # half of the goals are raised by up to this much


@dataclass(frozen=True)
class ObjectOptions(MujocoOptions):
    """Settings shared by all tasks with an object."""

    threshold: float = 0.05
    """Distance from object to goal that counts as success, in meters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.positive(self, "threshold")


class Layout(NamedTuple):
    """The object's columns of ``State.sensors``."""

    position: slice
    axes: list[slice]
    velocity: slice
    spin: slice


def base(x: float) -> dict[str, float]:
    """Return the robot's base position, in m relative to the model's own."""
    return {"robot0:slide0": x, "robot0:slide1": 0.48, "robot0:slide2": 0.0}


def make(name: str, options: ObjectOptions, setting: Setting, cameras: Cameras) -> BatchedEnv:
    """Return the environment of a task, with one thread per usable core."""
    model = fetch.compile_fetch(setting.xml, SENSORS)
    physics = ResumablePhysics(model, fetch.control_spec(), fetch.SUBSTEPS)
    rules = _rules(model, setting)
    task_spec = TaskSpec(name, 25, 3, fetch.ACTION, within(options.threshold), (3, 4, 5))
    made = build(task_spec, options, model, physics, rules, cameras)
    # If the fingers are forced shut, the reference solves again for the changed state.
    return with_warm_start(made, physics, rules, re_solve=not setting.moves_fingers)


def _rules(model: Any, setting: Setting) -> Rules:
    at, thing = fetch.layout(model), _layout(model)

    def control(state: State, action: np.ndarray) -> np.ndarray:
        pose = fetch.mocap_control(at, state, action)
        if not setting.moves_fingers:
            return pose
        return np.concatenate([fetch.finger_control(at, state, action), pose], axis=1)

    def shut(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = fetch.shut_fingers(at, substates[:, -1])
        return after, after

    def lagging(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The reference evaluates positions before the last substep, but velocities after it. (With
        # the gripper forced shut, it evaluates everything again.)
        after, seen = substates[:, -1], substates[:, -2].copy()
        seen[:, 1 + model.nq :] = after[:, 1 + model.nq :]
        return after, seen

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        grip, moved = fetch.observe_gripper(at, state)
        position = state.sensors[:, thing.position]
        velocity = state.sensors[:, thing.velocity] * at.duration
        spin = state.sensors[:, thing.spin] * at.duration
        angles = euler(np.stack([state.sensors[:, axis] for axis in thing.axes], axis=-1))
        fingers = state.physics[:, at.fingers]
        places = [grip, position, position - grip, fingers, angles]
        obs = np.concatenate([*places, velocity - moved[:, :3], spin, moved], axis=1)
        return obs.astype(np.float32), position.astype(np.float32)

    post_step = lagging if setting.moves_fingers else shut
    return Rules(_start(model, setting), control, post_step, observe)


def _layout(model: Any) -> Layout:
    axes = [sensor_columns(model, name) for name in AXES]
    position, velocity, spin = (sensor_columns(model, x) for x in (POSITION, VELOCITY, SPIN))
    return Layout(position, axes, velocity, spin)


def _start(model: Any, setting: Setting) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function that starts an episode: ``(key u32[2]) -> physics f64[P], goal f32[3]``."""
    first, data = fetch.bring_over_table(model, setting.joints, setting.extra_height)
    grip = data.site(fetch.SENSORS[fetch.GRIP].name).xpos.copy()
    height = float(data.site("object0").xpos[2])
    column = position_column(model, JOINT)

    def start(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(key)
        physics = first.copy()
        physics[column : column + 2] = _beside(rng, grip[:2], setting.object_range)
        goal = grip + rng.uniform(-setting.goal_range, setting.goal_range, size=3)
        goal[:2] += setting.goal_offset
        goal[2] = height
        if setting.lift and rng.uniform() < 0.5:
            goal[2] += rng.uniform(0, setting.lift)
        return physics, goal.astype(np.float32)

    return start


def _beside(rng: np.random.Generator, grip: np.ndarray, extent: float) -> np.ndarray:
    """Sample the object's position f64[2] in a square around the grip, but not too close to it."""
    while True:
        place = grip + rng.uniform(-extent, extent, size=2)
        if np.linalg.norm(place - grip) >= CLEARANCE:
            return place


def euler(matrix: np.ndarray) -> np.ndarray:
    """Return the Euler angles f64[N, 3] in rad about x, y and z of matrices f64[N, 3, 3].

    The matrix is Rx Ry Rz. If the angle about y is a right angle, those about x and z are not
    unique, and the angle about x is 0.
    """
    (m00, m01, m02), (m10, m11, m12), (_, _, m22) = np.moveaxis(matrix, 0, -1)
    cosine = np.sqrt(m22**2 + m12**2)
    regular = cosine > UPRIGHT
    x = np.where(regular, np.arctan2(-m12, m22), 0.0)
    y = np.arctan2(m02, cosine)
    z = np.where(regular, np.arctan2(-m01, m00), np.arctan2(m10, m11))
    return np.stack([x, y, z], axis=-1)
