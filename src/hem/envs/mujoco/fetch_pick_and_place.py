"""A Fetch arm moves a block to a target position on the table or in the air (MuJoCo).

Step by step bitwise equal to the environment of the same name in gymnasium-robotics, but with many
episodes at once. As there, positions are observed one substep (2 ms) late.

As there, goals are sampled independently of the block: about 4% of episodes begin at their goal.
Success is judged after a step, so if success ends episodes, these last one step.

| | meaning | unit |
|---|---|---|
| observation f32[25] | of gripper and block, see ``fetch_object`` | m, rad, and these per step |
| achieved goal f32[3] | the block's position | m |
| desired goal f32[3] | the block's target position, see below | m |
| action f32[4] | displacement of the gripper in x, y, z | -1 .. 1, of 0.05 m |
| | the fourth: offset of the fingers' target; + opens | -1 .. 1, of 1 m |

Goals lie within 0.15 m of the grip's start in x and y, half of them on the table and the others
raised by up to 0.45 m.
"""

from __future__ import annotations

from dataclasses import dataclass

from hem.envs.mujoco import fetch, fetch_object
from hem.envs.mujoco.engine.camera import View
from hem.envs.mujoco.fetch_object import ObjectOptions, Setting
from hem.types import BatchedEnv

NAME = "FetchPickAndPlace-v4"
SETTING = Setting(
    xml="pick_and_place.xml",
    joints={**fetch_object.base(0.405), fetch_object.JOINT: (1.25, 0.53, 0.4, 1, 0, 0, 0)},
    extra_height=0.2,
    moves_fingers=True,
    object_range=0.15,
    goal_range=0.15,
    lift=0.45,
)
SCENE = fetch.SCENE._replace(
    obs_camera=View(lookat=(1.34, 0.75, 0.58), distance=0.95, azimuth=135.0, elevation=-30.0),
    video_camera=View(lookat=(1.34, 0.75, 0.6), distance=1.3, azimuth=132.0, elevation=-20.0),
)


@dataclass(frozen=True)
class Config(ObjectOptions):
    pass


def make(config: Config) -> BatchedEnv:
    """Return the environment, with one thread per available core."""
    return fetch_object.make(NAME, config, SETTING, SCENE)
