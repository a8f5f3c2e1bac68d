"""A robot arm hits a puck so that it slides to a point out of reach, on MuJoCo physics.

Equal, step by step and to the last bit, to the environment of that name in gymnasium-robotics,
but many episodes at once. The gripper's fingers are kept shut.

| | meaning | unit |
|---|---|---|
| observation f32[25] | of gripper and puck, see ``fetch_object`` | m, rad, and these a step |
| achieved goal f32[3] | the puck's position | m |
| desired goal f32[3] | its position wanted, on the table within 0.3 of 0.4 beyond the grip | m |
| action f32[4] | pull on the gripper in x, y, z; the fourth does nothing | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass

from hem.envs.mujoco import fetch, fetch_object
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.fetch_object import ObjectOptions, Setting
from hem.types import Simulator

NAME = "FetchSlide-v4"
SETTING = Setting(
    xml="slide.xml",
    joints={**fetch_object.base(0.05), fetch_object.JOINT: (1.7, 1.1, 0.41, 1, 0, 0, 0)},
    extra_height=-0.02,
    moves_fingers=False,
    object_range=0.1,
    goal_range=0.3,
    goal_offset=(0.4, 0.0),
)
SCENE = fetch.SCENE._replace(
    obs_camera=View(lookat=(1.32, 0.71, 0.42), distance=1.12, azimuth=118.0, elevation=-42.0),
    video_camera=View(lookat=(1.3, 0.75, 0.45), distance=1.8, azimuth=132.0, elevation=-25.0),
)


@dataclass(frozen=True)
class Config(ObjectOptions):
    pass


def make(config: Config) -> Simulator:
    """Return the simulator, with one thread per usable core."""
    return fetch_object.make(NAME, config, SETTING, SCENE)
