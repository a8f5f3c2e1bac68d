"""A Fetch arm pushes a block across a table to a target position (MuJoCo).

Step by step bitwise equal to the environment of the same name in gymnasium-robotics, but with many
episodes at once. The gripper stays closed.

As there, goals are sampled independently of the block: about 7% of episodes begin at their goal.
Success is judged after a step, so if success ends episodes, these last one step.

| | meaning | unit |
|---|---|---|
| observation f32[25] | of gripper and block, see ``fetch_object`` | m, rad, and these per step |
| achieved goal f32[3] | the block's position | m |
| desired goal f32[3] | its target position, on the table within 0.15 of the grip's start | m |
| action f32[4] | displacement of the gripper in x, y, z; fourth unused | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass

from hem.envs.mujoco import fetch, fetch_object
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.fetch_object import ObjectOptions, Setting
from hem.types import BatchedEnv

NAME = "FetchPush-v4"
SETTING = Setting(
    xml="push.xml",
    joints={**fetch_object.base(0.405), fetch_object.JOINT: (1.25, 0.53, 0.4, 1, 0, 0, 0)},
    extra_height=0.0,
    moves_fingers=False,
    object_range=0.15,
    goal_range=0.15,
)
SCENE = fetch.SCENE._replace(
    obs_camera=View(lookat=(1.34, 0.75, 0.42), distance=0.8, azimuth=135.0, elevation=-40.0),
    video_camera=View(lookat=(1.34, 0.75, 0.5), distance=1.2, azimuth=132.0, elevation=-28.0),
)


@dataclass(frozen=True)
class Config(ObjectOptions):
    pass


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    return fetch_object.make(NAME, config, SETTING, SCENE)
