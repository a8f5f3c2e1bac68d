"""A goal environment in a file: a robot on two wheels drives to a point.

hem check docs/my_env.py:MyEnv
hem train docs/my_env.py:MyEnv
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict


class MyEnv(gymnasium.Env):
    """A room of 2 m x 2 m, a robot that cannot move sideways, a point within 0.1 m to get to."""

    max_episode_steps = 50

    def __init__(self):
        point = Box(-1, 1, (2,), np.float64)
        self.action_space = Box(-1, 1, (2,), np.float32)  # the wheels, left and right
        self.observation_space = Dict(
            observation=Box(-1, 1, (4,), np.float64),  # x, y, cosine and sine of its heading
            achieved_goal=point,
            desired_goal=point,
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, size=(2, 2))
        self.heading = self.np_random.uniform(-np.pi, np.pi)
        return self.observe(), {}

    def step(self, action):
        left, right = action
        self.heading += 0.5 * (right - left)
        forward = [np.cos(self.heading), np.sin(self.heading)]
        self.at = np.clip(self.at + 0.05 * (left + right) * np.array(forward), -1, 1)
        obs = self.observe()
        reward = self.compute_reward(obs["achieved_goal"], obs["desired_goal"], {})
        return obs, reward, False, False, {"is_success": bool(reward == 0)}

    def compute_reward(self, achieved_goal, desired_goal, info):
        """0 where the goal is achieved, else -1."""
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 0.1).astype(np.float32)

    def observe(self):
        """What the robot knows."""
        return {
            "observation": np.array([*self.at, np.cos(self.heading), np.sin(self.heading)]),
            "achieved_goal": self.at.copy(),
            "desired_goal": self.goal.copy(),
        }
