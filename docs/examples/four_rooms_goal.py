"""MiniGrid's FourRooms as a goal environment: walk to any cell. It has no reward to shape."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import OBJECT_TO_IDX


class FourRoomsGoal(gym.Wrapper):
    """The agent turns and walks until it stands on the cell that was asked for."""

    def __init__(self, render_mode=None):
        super().__init__(gym.make("MiniGrid-FourRooms-v0", max_steps=100, render_mode=render_mode))
        cell = spaces.Box(0, 19, (2,), np.float32)
        pose = spaces.Dict({"cell": cell, "direction": spaces.Discrete(4)})
        self.observation_space = spaces.Dict(
            {"observation": pose, "achieved_goal": cell, "desired_goal": cell}
        )
        self.action_space = spaces.Discrete(3)  # turn left, turn right, walk

    def reset(self, *, seed=None, options=None):
        _, info = self.env.reset(seed=seed, options=options)
        grid, random = self.unwrapped.grid, self.unwrapped.np_random
        kind = grid.encode()[..., 0]
        (goal,) = np.argwhere(kind == OBJECT_TO_IDX["goal"])
        grid.set(*goal, None)  # any cell may be the goal, so none is marked
        free = np.argwhere((kind == OBJECT_TO_IDX["empty"]) | (kind == OBJECT_TO_IDX["goal"]))
        self.goal = free[random.integers(len(free))].astype(np.float32)
        return self.observation(), info

    def step(self, action):
        _, _, _, truncated, info = self.env.step(action)
        seen = self.observation()
        reached = bool(self.compute_reward(seen["achieved_goal"], self.goal, info))
        return seen, float(reached), False, truncated, info | {"is_success": reached}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return (achieved_goal == desired_goal).all(-1).astype(np.float32)

    def observation(self):
        cell = np.array(self.unwrapped.agent_pos, np.float32)
        pose = {"cell": cell, "direction": int(self.unwrapped.agent_dir)}
        return {"observation": pose, "achieved_goal": cell, "desired_goal": self.goal.copy()}
