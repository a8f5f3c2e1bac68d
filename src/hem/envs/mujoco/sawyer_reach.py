"""A Sawyer arm moves its hand to a target position above a table (MuJoCo).

The arm is metaworld's, the task multiworld's SawyerReachXYZEnv (with ``axes`` xy SawyerReachXYEnv):
a mocap body is softly welded to the hand, an action moves the mocap, and the arm follows. The
gripper stays closed. metaworld's puck, which would be in the way, is left out.

The mocap moves relative to its last position, not to the hand, which hangs 4 mm below it and would
sink. The mocap's position is therefore part of the state, and of the observation (multiworld's has
only the hand position). The arm starts where metaworld's does: multiworld's fingers are shorter.

| | meaning | unit |
|---|---|---|
| observation f32[9] | hand position 3, hand velocity 3, mocap minus hand position 3 | m, m/step |
| achieved goal f32[3] | hand position, between the fingers | m |
| desired goal f32[3] | target hand position, anywhere from ``LOW`` to ``HIGH`` | m |
| action f32[3] | displacement of the mocap, within ``LOW`` .. ``HIGH`` | -1 .. 1, of 0.02 m |

With ``axes`` xy, the mocap and the goals stay 5.5 cm above the table, and actions are f32[2].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State, uniform
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.engine.model import asset, import_mujoco, sensor_columns
from hem.envs.mujoco.engine.task import Cameras, MujocoOptions, TaskSpec, build, within
from hem.system import validation
from hem.types import BatchedEnv, Box

NAME = "SawyerReach"
SUBSTEPS = 40  # of 2.5 ms each: an action is held for 0.1 s, as in multiworld
MOVE = 0.02  # m, the mocap's maximum displacement along each axis per step
LOW, HIGH = (-0.2, 0.55, 0.05), (0.2, 0.75, 0.3)  # m, of mocap and goals
START = (0.0, 0.6, 0.2)  # m, of the mocap
FLAT = 0.055  # m, its height with axes xy
DOWN = (1.0, 0.0, 1.0, 0.0)  # its quaternion: the hand points down
SHUT = (1.0, -1.0)  # control of the fingers
SETTLED = 100  # steps until the arm is at rest
POSED = 10  # steps until it is within 5 mm of any goal
# The weld as metaworld sets it: no offset, no rotation, torque weighs 5 times as much as force.
WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
GRAIN = 0.01  # m, of the arm's surface in images

HAND, VELOCITY = "hand position", "hand velocity"
SCENE = Cameras(
    # From the far side of the table, so that the arm is behind the hand. In an image of 48 pixels,
    # 1 cm along any axis is 0.6 pixels, and each axis has its own direction.
    obs_camera=View(lookat=(0.04, 0.65, 0.17), distance=0.74, azimuth=225.0, elevation=-40.0),
    video_camera=View(lookat=(0.0, 0.5, 0.25), distance=1.2, azimuth=215.0, elevation=-25.0),
    hidden=("goal",),
    point=np.asarray,
    radius=0.06,
)


@dataclass(frozen=True)
class Config(MujocoOptions):
    axes: Literal["xyz", "xy"] = "xyz"
    """Axes along which the hand moves and goals vary: xyz, or xy just above the table."""
    threshold: float = 0.06
    """Distance from hand to goal that counts as success, in meters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.one_of(("xyz", "xy"), self, "axes")
        validation.positive(self, "threshold")


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    model = compile_sawyer()
    physics = sawyer_physics(model)
    size = len(config.axes)
    action = Box((-1.0,) * size, (1.0,) * size)
    task_spec = TaskSpec(NAME, 9, 3, action, within(config.threshold), (0, 1, 2))
    rules = sawyer_rules(model, physics, flat=config.axes == "xy")
    return build(task_spec, config, model, physics, rules, SCENE)


def compile_sawyer() -> Any:
    """Compile metaworld's reaching model, with our sensors and a memory of the mocap's position.

    The memory is three actuators that integrate their control without exerting force: what MuJoCo
    integrates is part of its physics state, but the position of a mocap is not.
    """
    file = asset("metaworld", "hindsight-em[sawyer]", "assets/sawyer_xyz/sawyer_reach_v3.xml")
    mujoco = import_mujoco()
    spec = mujoco.MjSpec.from_file(str(file))
    spec.detach_body(spec.body("obj"))
    for axis in "xyz":
        spec.add_actuator(
            name=f"mocap {axis}",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            target="right_j0",
            dyntype=mujoco.mjtDyn.mjDYN_INTEGRATOR,
            gainprm=np.zeros(10),
        )
    for name, kind in ((HAND, "FRAMEPOS"), (VELOCITY, "FRAMELINVEL")):
        spec.add_sensor(
            name=name,
            type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname="hand",
        )
    model = spec.compile()
    model.eq_data[:] = WELD
    _lighten(model)
    return model


def _lighten(model: Any) -> None:
    """Make rendering forty times as fast: no shadows, no reflections, a fifth of the triangles.

    Vertices in the same cell of size ``GRAIN`` are merged. Contacts use the convex hulls, which are
    unchanged.
    """
    model.light_castshadow[:] = False
    model.mat_reflectance[:] = 0
    for mesh in range(model.nmesh):
        first = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        cells = np.round(vertices / GRAIN)
        _, chosen, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        first = model.mesh_faceadr[mesh]
        rows = slice(first, first + model.mesh_facenum[mesh])
        faces = chosen[cell.ravel()[model.mesh_face[rows]]]  # i32[F, 3]; NumPy 2.0: cell[V, 1]
        kept = (faces != np.roll(faces, 1, axis=1)).all(axis=1)  # not degenerate
        left = slice(first, first + kept.sum())
        model.mesh_face[left] = faces[kept]
        model.mesh_facenormal[left] = model.mesh_facenormal[rows][kept]
        model.mesh_facetexcoord[left] = model.mesh_facetexcoord[rows][kept]
        model.mesh_facenum[mesh] = kept.sum()


def sawyer_physics(model: Any) -> Physics:
    """Return the physics controlled by the fingers, the memory and the mocap's pose."""
    part = import_mujoco().mjtState
    control = part.mjSTATE_CTRL | part.mjSTATE_MOCAP_POS | part.mjSTATE_MOCAP_QUAT
    return Physics(model, control, SUBSTEPS)


def sawyer_rules(model: Any, physics: Physics, flat: bool) -> Rules:
    """Return the rules for reaching in the box, or just above the table if ``flat``."""
    hand, velocity = sensor_columns(model, HAND), sensor_columns(model, VELOCITY)
    mocap = slice(-3, None)  # in physics, which ends with the integrators' activations
    duration = SUBSTEPS * model.opt.timestep
    low, high, begin = np.array(LOW), np.array(HIGH), np.array(START)
    if flat:
        low[2] = high[2] = begin[2] = FLAT

    def put(before: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Control f64[N, 12] that moves the mocaps of physics[N, P] to place f64[N, 3]."""
        memory = (place - before[:, mocap]) / duration
        n = len(place)
        return np.concatenate([np.tile(SHUT, (n, 1)), memory, place, np.tile(DOWN, (n, 1))], axis=1)

    def hold(before: np.ndarray, place: np.ndarray, steps: int) -> np.ndarray:
        """Physics f64[N, P] after holding the mocaps at place f64[N, 3] for some steps."""
        for _ in range(steps):
            before = physics.step(before, put(before, place))[:, -1]
        return before

    zero = np.concatenate([[0.0], model.qpos0, np.zeros(model.nv + model.na)])
    first = hold(zero[None], begin[None], SETTLED)

    def start(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        goal = low + (high - low) * uniform(keys, 3)
        return np.repeat(first, len(keys), axis=0), goal.astype(np.float32)

    def control(state: State, action: np.ndarray) -> np.ndarray:
        place = state.physics[:, mocap].copy()
        place[:, : action.shape[1]] += MOVE * action
        return put(state.physics, np.clip(place, low, high))

    def post_step(substates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return substates[:, -1], substates[:, -1]

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        at = state.sensors[:, hand]
        ahead = state.physics[:, mocap] - at
        obs = np.concatenate([at, state.sensors[:, velocity] * duration, ahead], axis=1)
        return obs.astype(np.float32), at.astype(np.float32)

    def goal_state(goal: np.ndarray) -> np.ndarray:
        return hold(np.repeat(first, len(goal), axis=0), goal.astype(np.float64), POSED)

    return Rules(start, control, post_step, observe, goal_state, batched_start=True)
