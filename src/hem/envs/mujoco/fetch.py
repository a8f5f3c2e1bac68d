"""Shared parts of the Fetch tasks: model, setup, gripper control and gripper observations.

A mocap body is welded to the gripper's link (here: the hand) by a soft constraint. An action
places the mocap at a small offset from the hand, and the constraint pulls the arm along. Names,
numbers and their order are those of gymnasium-robotics, whose tasks are reproduced step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, State
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.engine.model import (
    Sensor,
    asset,
    compile_model,
    import_mujoco,
    position_column,
    sensor_columns,
    velocity_column,
)
from hem.envs.mujoco.engine.task import Cameras
from hem.types import Box

SUBSTEPS = 20  # of 2 ms each: an action is held for 40 ms
MOVE = 0.05  # m, the mocap's maximum offset from the hand along each axis
TURN = np.array([1.0, 0.0, 1.0, 0.0])  # added to the hand's quaternion: keeps it pointing down
ACTION = Box((-1.0,) * 4, (1.0,) * 4)
SCENE = Cameras(
    obs_camera=View(lookat=(1.3, 0.75, 0.55), distance=1.0, azimuth=150.0, elevation=-35.0),
    video_camera=View(lookat=(1.3, 0.75, 0.6), distance=1.5, azimuth=132.0, elevation=-18.0),
    hidden=("target0",),
    point=np.asarray,
    radius=0.05,
)

HAND, TURNED, GRIP, GRIP_VELOCITY = "hand position", "hand rotation", "grip", "grip velocity"
SENSORS = {
    HAND: Sensor("framepos", "xbody", "robot0:gripper_link"),
    TURNED: Sensor("framequat", "xbody", "robot0:gripper_link"),
    GRIP: Sensor("framepos", "site", "robot0:grip"),
    GRIP_VELOCITY: Sensor("framelinvel", "site", "robot0:grip"),
}
FINGERS = ("robot0:r_gripper_finger_joint", "robot0:l_gripper_finger_joint")


class Layout(NamedTuple):
    """Columns of ``State.sensors`` and of ``State.physics``."""

    hand: slice
    turned: slice
    grip: slice
    grip_velocity: slice
    fingers: list[int]  # in physics, like their velocities
    finger_velocities: list[int]
    duration: float  # s, of a step


def compile_fetch(xml: str, sensors: Mapping[str, Sensor] | None = None) -> Any:
    """Compile one of gymnasium-robotics' Fetch models, with sensors for the gripper and others.

    Args:
        xml: the model file.
        sensors: additional sensors, by name.
    """
    file = asset("gymnasium_robotics", "hindsight-em[mujoco]", f"envs/assets/fetch/{xml}")
    mujoco = import_mujoco()
    model = compile_model(file, {**SENSORS, **(sensors or {})})
    # The weld aligns mocap and hand exactly, whatever their offset in the model's zero pose: anchor
    # and relative position are 0, and the real part of the relative rotation is 1.
    welds = model.eq_type == mujoco.mjtEq.mjEQ_WELD
    model.eq_data[welds, :7] = (0, 0, 0, 0, 0, 0, 1)
    return model


def physics(model: Any) -> Physics:
    """Return the physics controlled by the mocap's pose, see ``mocap_control``."""
    return Physics(model, control_spec(), SUBSTEPS)


def control_spec() -> int:
    """Return the ``mjtState`` bits of a control: actuators, if any, then ``mocap_control``."""
    bits = import_mujoco().mjtState
    return int(bits.mjSTATE_CTRL | bits.mjSTATE_MOCAP_POS | bits.mjSTATE_MOCAP_QUAT)


def layout(model: Any) -> Layout:
    """Find the columns in a model of ``compile_fetch``."""
    return Layout(
        *(sensor_columns(model, name) for name in (HAND, TURNED, GRIP, GRIP_VELOCITY)),
        fingers=[position_column(model, joint) for joint in FINGERS],
        finger_velocities=[velocity_column(model, joint) for joint in FINGERS],
        duration=SUBSTEPS * model.opt.timestep,
    )


def set_up(
    model: Any, joints: Mapping[str, float], extra_height: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bring the gripper over the table, once before all episodes.

    Args:
        model: of ``compile_fetch``.
        joints: initial joint positions, by name.
        extra_height: m, of the gripper above the height for pushing.

    Returns:
        The physics state f64[P] that episodes start from, and the grip's position f64[3] in m,
        around which goals are sampled (as the last substep saw it: one substep before the state).
    """
    physics, data = bring_over_table(model, joints, extra_height)
    return physics, data.site(SENSORS[GRIP].name).xpos.copy()


def bring_over_table(
    model: Any, joints: Mapping[str, float | Sequence[float]], extra_height: float
) -> tuple[np.ndarray, Any]:
    """Like ``set_up``, but return the state and the full ``MjData``."""
    mujoco = import_mujoco()
    data = mujoco.MjData(model)
    for name, value in joints.items():
        data.joint(name).qpos = value
    mujoco.mj_forward(model, data)
    grip = data.site(SENSORS[GRIP].name).xpos
    data.mocap_pos[0] = np.add(grip, (-0.498, 0.005, -0.431 + extra_height))
    data.mocap_quat[0] = TURN
    mujoco.mj_step(model, data, nstep=10 * SUBSTEPS)
    spec = mujoco.mjtState.mjSTATE_FULLPHYSICS
    physics = np.empty(mujoco.mj_stateSize(model, spec))
    mujoco.mj_getState(model, data, physics, spec)
    return physics, data


def mocap_control(at: Layout, state: State, action: np.ndarray) -> np.ndarray:
    """Return the mocap's pose f64[N, 7], position then quaternion; action[N, 3 or more]."""
    position = state.sensors[:, at.hand] + MOVE * action[:, :3]
    return np.concatenate([position, state.sensors[:, at.turned] + TURN], axis=1)


def finger_control(at: Layout, state: State, action: np.ndarray) -> np.ndarray:
    """Return finger targets f64[N, 2] in m: their positions, offset by column 3 of the action."""
    return state.physics[:, at.fingers[::-1]] + action[:, 3:4]  # actuators: left, then right


def shut_fingers(at: Layout, physics: np.ndarray) -> np.ndarray:
    """Return the physics states f64[N, P] with both fingers at 0 (and unchanged velocities)."""
    shut = physics.copy()
    shut[:, at.fingers] = 0
    return shut


def observe_gripper(at: Layout, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Return the grip's position f64[N, 3] and the velocities f64[N, 5] of grip and fingers.

    Velocities are in m/step: the distance moved in the 40 ms of an action.
    """
    velocity = [state.sensors[:, at.grip_velocity], state.physics[:, at.finger_velocities]]
    return state.sensors[:, at.grip], np.concatenate(velocity, axis=1) * at.duration
