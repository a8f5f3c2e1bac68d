"""A Fetch arm hits a puck so that it slides to a target position out of reach (MuJoCo).

Step by step bitwise equal to the environment of the same name in gymnasium-robotics, but with many
episodes at once. The gripper stays closed.

| | meaning | unit |
|---|---|---|
| observation f32[25] | of gripper and puck, see ``fetch_object`` | m, rad, and these per step |
| achieved goal f32[3] | the puck's position | m |
| desired goal f32[3] | its target, on the table within 0.3 of a point 0.4 beyond the grip | m |
| action f32[4] | displacement of the gripper in x, y, z; fourth unused | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass

from hem.envs.mujoco import fetch, fetch_object
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.fetch_object import ObjectOptions, Setting
from hem.types import BatchedEnv

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


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    return fetch_object.make(NAME, config, SETTING, SCENE)
