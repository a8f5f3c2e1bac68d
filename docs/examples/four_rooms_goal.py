"""MiniGrid's FourRooms as a goal environment: walk to any cell. It has no reward to shape."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from minigrid.core.constants import OBJECT_TO_IDX

LAYOUT = 0  # the seed of the rooms, which the policy does not see


class FourRoomsGoal(gym.Wrapper):
    """The agent turns and walks until it stands on the cell that was asked for."""

    def __init__(self, render_mode=None):
        super().__init__(gym.make("MiniGrid-FourRooms-v0", max_steps=100, render_mode=render_mode))
        cell = spaces.MultiDiscrete([19, 19])  # column and row, which hem encodes one-hot
        pose = spaces.Dict({"cell": cell, "direction": spaces.Discrete(4)})
        self.observation_space = spaces.Dict(
            {"observation": pose, "achieved_goal": cell, "desired_goal": cell}
        )
        self.action_space = spaces.Discrete(3)  # turn left, turn right, walk
        self.random, _ = seeding.np_random()

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.random, _ = seeding.np_random(seed)
        _, info = self.env.reset(seed=LAYOUT)
        inner = self.unwrapped
        kind = inner.grid.encode()[..., 0]
        free = np.argwhere((kind == OBJECT_TO_IDX["empty"]) | (kind == OBJECT_TO_IDX["goal"]))
        (marked,) = np.argwhere(kind == OBJECT_TO_IDX["goal"])
        inner.grid.set(*marked, None)  # any cell may be the goal
        start, goal = self.random.choice(free, 2)
        inner.agent_pos, inner.agent_dir = tuple(start), int(self.random.integers(4))
        self.goal = goal
        return self.observation(), info

    def step(self, action):
        _, _, _, truncated, info = self.env.step(action)
        seen = self.observation()
        reached = bool(self.compute_reward(seen["achieved_goal"], self.goal, info))
        return seen, float(reached), False, truncated, info | {"is_success": reached}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return (achieved_goal == desired_goal).all(-1).astype(np.float32)

    def observation(self):
        cell = np.array(self.unwrapped.agent_pos)
        pose = {"cell": cell, "direction": int(self.unwrapped.agent_dir)}
        return {"observation": pose, "achieved_goal": cell, "desired_goal": self.goal.copy()}
