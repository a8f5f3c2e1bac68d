"""A robot arm pushes a block across a table to a point, on MuJoCo physics.

Equal, step by step and to the last bit, to the environment of that name in gymnasium-robotics,
but many episodes at once. The gripper's fingers are kept shut.

As there, goals are drawn without regard to the block: about 7% of episodes begin at their goal.
Success is judged after a step, so where it ends episodes, these last one step.

| | meaning | unit |
|---|---|---|
| observation f32[25] | of gripper and block, see ``fetch_object`` | m, rad, and these a step |
| achieved goal f32[3] | the block's position | m |
| desired goal f32[3] | its position wanted, on the table within 0.15 of the grip's start | m |
| action f32[4] | pull on the gripper in x, y, z; the fourth does nothing | -1 .. 1, of 0.05 m |
"""

from __future__ import annotations

from dataclasses import dataclass

from hem.envs.mujoco import fetch, fetch_object
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.fetch_object import ObjectOptions, Setting
from hem.types import Simulator

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


def make(config: Config) -> Simulator:
    """Return the simulator, with one thread per usable core."""
    return fetch_object.make(NAME, config, SETTING, SCENE)
