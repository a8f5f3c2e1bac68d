"""hem's environments as Gymnasium environments: ``gymnasium.make("hem/FlipBit-v0", bits=50)``.

``import hem`` registers them. They are goal environments as Gymnasium-Robotics defines them: a dict
of ``observation``, ``achieved_goal`` and ``desired_goal``, and ``compute_reward`` with
``reward == compute_reward(achieved_goal, desired_goal, info)`` on what ``step`` returned. The
reward is 1 on success, otherwise 0; ``info["is_success"]`` reports the same.

With ``goal="image"``, both goals are images: the desired one is rendered, the achieved one is the
observation. Success cannot be determined from images, so ``compute_reward`` raises an error; the
reward of a step is still computed from the underlying numbers.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from hem.envs.spaces.task_spaces import inner_spaces
from hem.errors import EnvError, UserError
from hem.models.frame_stack import Recent
from hem.system.compile_cache import jit
from hem.types import BatchedEnv, JaxEnv


class GoalEnv(gymnasium.Env):
    """A ``JaxEnv`` or ``BatchedEnv``, one episode at a time."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  Gymnasium's form

    def __init__(self, env: JaxEnv | BatchedEnv, render_mode: str | None = None) -> None:
        self.env: Any = batched(env)
        self.task = env.task
        self.render_mode = render_mode
        obs, goal, self.action_space = inner_spaces(self.task)
        self.observation_space = spaces.Dict(observation=obs, achieved_goal=goal, desired_goal=goal)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode; equal seeds give equal episodes."""
        super().reset(seed=seed)
        self._state, self._goal = self.env.reset(self._key())
        self._goal_input = policy_goal(self.env, self._goal)
        self._recent: Recent | None = None
        self._steps = 0
        observation, success = self._observed()
        return observation, {"is_success": success}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take an action from ``action_space``."""
        batch = np.asarray(action, self.task.action.dtype)[None]
        if isinstance(self.env, BatchedEnv):
            self._state = self.env.step(self._state, batch)
        else:
            self._state = self.env.step(self._key(), self._state, batch)
        self._steps += 1
        observation, success = self._observed()
        ended, cut = self._ending()
        terminated = (success and self.task.terminates_on_success) or ended
        truncated = self._steps >= self.task.horizon or cut
        return observation, float(success), terminated, truncated, {"is_success": success}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """1 where the goal is achieved, otherwise 0; broadcasts over leading dimensions.

        Raises:
            UserError: goals are images.
        """
        if self.task.image_goals:
            raise UserError(
                "success cannot be computed from images: use the reward that step returns, or "
                'leave out goal="image"'
            )
        return np.asarray(self.task.success(achieved_goal, desired_goal), np.float64)

    def render(self) -> np.ndarray:
        """An image u8[H, W, 3] of the current state and the desired goal."""
        one = jax.tree.map(lambda x: np.asarray(x)[0], self._state)
        return self.env.render(one, np.asarray(self._goal)[0])

    def _ending(self) -> tuple[bool, bool]:
        """Whether the environment itself has terminated or truncated the episode."""
        if not isinstance(self.env, BatchedEnv) or self.env.ending is None:
            return False, False
        ending = self.env.ending(self._state)
        if ending.lost[0]:
            raise EnvError(f"the process running {self.task.name} died or hung: call reset()")
        return bool(ending.terminated[0]), bool(ending.truncated[0])

    def _key(self) -> np.ndarray:
        return self.np_random.integers(2**32, size=(1, 2), dtype=np.uint32)

    def _observed(self) -> tuple[dict[str, np.ndarray], bool]:
        """The observation as the policy sees it, and whether the goal is achieved."""
        obs, achieved = self.env.observe(self._state)
        if self._recent is None:
            self._recent = Recent(self.task.frames, obs)
        else:
            self._recent.add(obs)
        seen = {
            "observation": self._recent.seen[0],
            "achieved_goal": np.array((obs if self.task.image_goals else achieved)[0]),
            "desired_goal": np.array(self._goal_input[0]),
        }
        return seen, bool(self.task.success(np.asarray(achieved[0]), np.asarray(self._goal[0])))


def policy_goal(env: JaxEnv | BatchedEnv, goal: Any) -> Any:
    """Goals [N, *G] as the policy sees them: as numbers, or as images."""
    if env.task.image_goals and isinstance(env, BatchedEnv) and env.render_goal is not None:
        return env.render_goal(goal)
    return goal


def batched(env: JaxEnv | BatchedEnv) -> JaxEnv | BatchedEnv:
    """The environment with functions that take N episodes at once, and keys as data u32[N, 2]."""
    if isinstance(env, BatchedEnv):
        return env

    def keyed(function: Any) -> Any:
        return jit(lambda data, *rest: jax.vmap(function)(jax.random.wrap_key_data(data), *rest))

    return env._replace(
        reset=keyed(env.reset), step=keyed(env.step), observe=jit(jax.vmap(env.observe))
    )
