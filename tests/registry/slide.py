"""A Gymnasium environment such as a program defines: a point on a line."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Slide(gymnasium.Env):
    """Ten cells; left, stay or right."""

    max_episode_steps = 5
    distance_threshold = 0.5

    def __init__(self):
        cell = Box(0, 9, (1,), np.float32)
        self.observation_space = Dict(observation=cell, achieved_goal=cell, desired_goal=cell)
        self.action_space = Discrete(3)
        self.closed = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.integers(10, size=2)
        return self._observed(), {}

    def step(self, action):
        self.at = np.clip(self.at + action - 1, 0, 9)
        reward = self.compute_reward(np.float32([self.at]), np.float32([self.goal]), {})
        return self._observed(), float(reward), False, False, {}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.abs(achieved_goal - desired_goal) > 0.5).any(-1).astype(np.float32)

    def close(self):
        self.closed = True

    def _observed(self):
        at, goal = np.float32([self.at]), np.float32([self.goal])
        return {"observation": at, "achieved_goal": at, "desired_goal": goal}
