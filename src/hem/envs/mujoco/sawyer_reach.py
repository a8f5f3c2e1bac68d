"""A Sawyer arm brings its hand to a point above a table, on MuJoCo physics.

The arm is metaworld's, the task multiworld's SawyerReachXYZEnv (with ``axes`` xy SawyerReachXYEnv):
a mocap body is welded softly to the hand, an action moves the mocap, and the arm follows. The
fingers are kept shut. metaworld's puck, which would be in the way, is left out.

The mocap moves on from where it was, not from the hand, which hangs 4 mm below it and would sink.
So the place of the mocap belongs to the state, and to the observation (multiworld's has only the
hand's position). The arm starts where metaworld's does: multiworld's fingers are shorter.

| | meaning | unit |
|---|---|---|
| observation f32[9] | positions of hand 3, its velocity 3, of mocap minus hand 3 | m, m/step |
| achieved goal f32[3] | hand position, between the fingers | m |
| desired goal f32[3] | hand position wanted, anywhere from ``LOW`` to ``HIGH`` | m |
| action f32[3] | the mocap's move in x, y, z, up to ``LOW`` and ``HIGH`` | -1 .. 1, of 0.02 m |

With ``axes`` xy the mocap stays 5.5 cm above the table: so do goals, and actions are f32[2].
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
from hem.types import Box, Simulator

NAME = "SawyerReach"
SUBSTEPS = 40  # of 2.5 ms each: an action is held for 0.1 s, as in multiworld
MOVE = 0.02  # m, the furthest the mocap moves along each axis in a step
LOW, HIGH = (-0.2, 0.55, 0.05), (0.2, 0.75, 0.3)  # m, of mocap and goals
START = (0.0, 0.6, 0.2)  # m, of the mocap
FLAT = 0.055  # m, its height with axes xy
DOWN = (1.0, 0.0, 1.0, 0.0)  # its quaternion: the hand points down
SHUT = (1.0, -1.0)  # control of the fingers
SETTLED = 100  # steps until the arm is at rest
POSED = 10  # steps until it is at any goal, to 5 mm
# The weld as metaworld sets it: no offset, no rotation, torque counts 5 times as much as force.
WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
GRAIN = 0.01  # m, of the arm's surface in images

HAND, VELOCITY = "hand position", "hand velocity"
SCENE = Cameras(
    # From the far side of the table, so that the arm is behind the hand. In an image of 48 pixels,
    # 1 cm along any axis is 0.6 pixels, each axis in a direction of its own.
    obs_camera=View(lookat=(0.04, 0.65, 0.17), distance=0.74, azimuth=225.0, elevation=-40.0),
    video_camera=View(lookat=(0.0, 0.5, 0.25), distance=1.2, azimuth=215.0, elevation=-25.0),
    hidden=("goal",),
    point=np.asarray,
    radius=0.06,
)


@dataclass(frozen=True)
class Config(MujocoOptions):
    axes: Literal["xyz", "xy"] = "xyz"
    """Axes along which the hand moves and goals differ: xyz, or xy just above the table."""
    threshold: float = 0.06
    """Distance from hand to goal, in metres, that counts as success."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.one_of(("xyz", "xy"), self, "axes")
        validation.positive(self, "threshold")


def make(config: Config) -> Simulator:
    """Return the simulator, with one thread per usable core."""
    model = compile_sawyer()
    physics = sawyer_physics(model)
    size = len(config.axes)
    outline = TaskSpec(NAME, 9, 3, Box((-1.0,) * size, (1.0,) * size), within(config.threshold))
    rules = sawyer_rules(model, physics, flat=config.axes == "xy")
    return build(outline, config, model, physics, rules, SCENE)


def compile_sawyer() -> Any:
    """Compile metaworld's model for reaching, with our sensors and a memory of the mocap's place.

    The memory is three actuators that integrate their control and pull on nothing: what MuJoCo
    integrates is part of its physics state, which the place of a mocap is not.
    """
    file = asset("metaworld", "metaworld==3.1.1", "assets/sawyer_xyz/sawyer_reach_v3.xml")
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
    """Make images forty times as fast: no shadows, no mirrors, a fifth of the triangles.

    Vertices in the same cell of ``GRAIN`` become one. Contacts are with convex hulls, which stay.
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
        faces = chosen[cell[model.mesh_face[rows]]]  # i32[F, 3]
        kept = (faces != np.roll(faces, 1, axis=1)).all(axis=1)  # not shrunk to a line
        left = slice(first, first + kept.sum())
        model.mesh_face[left] = faces[kept]
        model.mesh_facenormal[left] = model.mesh_facenormal[rows][kept]
        model.mesh_facetexcoord[left] = model.mesh_facetexcoord[rows][kept]
        model.mesh_facenum[mesh] = kept.sum()


def sawyer_physics(model: Any) -> Physics:
    """Return the physics that fingers, memory and the mocap's pose control."""
    part = import_mujoco().mjtState
    control = part.mjSTATE_CTRL | part.mjSTATE_MOCAP_POS | part.mjSTATE_MOCAP_QUAT
    return Physics(model, control, SUBSTEPS)


def sawyer_rules(model: Any, physics: Physics, flat: bool) -> Rules:
    """Return the rules of reaching in the box, or just above the table if ``flat``."""
    hand, velocity = sensor_columns(model, HAND), sensor_columns(model, VELOCITY)
    mocap = slice(-3, None)  # in physics, which ends with what actuators integrate
    duration = SUBSTEPS * model.opt.timestep
    low, high, begin = np.array(LOW), np.array(HIGH), np.array(START)
    if flat:
        low[2] = high[2] = begin[2] = FLAT

    def put(before: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Control f64[N, 12] that puts the mocaps of physics[N, P] at place f64[N, 3]."""
        memory = (place - before[:, mocap]) / duration
        n = len(place)
        return np.concatenate([np.tile(SHUT, (n, 1)), memory, place, np.tile(DOWN, (n, 1))], axis=1)

    def hold(before: np.ndarray, place: np.ndarray, steps: int) -> np.ndarray:
        """Physics f64[N, P] after some steps with the mocaps at place f64[N, 3]."""
        for _ in range(steps):
            before = physics.advance(before, put(before, place))[:, -1]
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

    def settle(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return path[:, -1], path[:, -1]

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        at = state.sensors[:, hand]
        ahead = state.physics[:, mocap] - at
        obs = np.concatenate([at, state.sensors[:, velocity] * duration, ahead], axis=1)
        return obs.astype(np.float32), at.astype(np.float32)

    def fulfil(goal: np.ndarray) -> np.ndarray:
        return hold(np.repeat(first, len(goal), axis=0), goal.astype(np.float64), POSED)

    return Rules(start, control, settle, observe, fulfil, starts_together=True)
