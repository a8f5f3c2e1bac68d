"""Our worlds as Gymnasium environments: ``gymnasium.make("hem/FlipBit-v0", bits=50)``.

``import hem`` registers them. They are goal environments as Gymnasium-Robotics defines them: a dict
of ``observation``, ``achieved_goal`` and ``desired_goal``, and ``compute_reward`` with
``reward == compute_reward(achieved_goal, desired_goal, info)`` on what ``step`` returned. The
reward is 1 on success, else 0; ``info["is_success"]`` says the same.

With ``goal="image"`` both goals are images: how the desired one looks, and the observation. Of
those nobody can say whether they are the same place, so there ``compute_reward`` is an error; the
reward of a step is still judged by the numbers behind them.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from hem.envs.spaces.task_spaces import inner_spaces
from hem.errors import UserError, WorldError
from hem.models.frame_stack import Recent
from hem.system.compile_cache import jit
from hem.types import Simulator, World


class GoalEnv(gymnasium.Env):
    """One episode at a time of a ``World`` or ``Simulator``."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  Gymnasium's form

    def __init__(self, world: World | Simulator, render_mode: str | None = None) -> None:
        self.world: Any = batched(world)
        self.task = world.task
        self.render_mode = render_mode
        obs, goal, self.action_space = inner_spaces(self.task)
        self.observation_space = spaces.Dict(observation=obs, achieved_goal=goal, desired_goal=goal)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode; equal seeds begin equal ones."""
        super().reset(seed=seed)
        self._state, self._goal = self.world.reset(self._key())
        self._goal_input = policy_goal(self.world, self._goal)
        self._recent: Recent | None = None
        self._steps = 0
        observation, success = self._observed()
        return observation, {"is_success": success}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take an action, in the units of ``action_space``."""
        batch = np.asarray(action, self.task.action.dtype)[None]
        if isinstance(self.world, Simulator):
            self._state = self.world.step(self._state, batch)
        else:
            self._state = self.world.step(self._key(), self._state, batch)
        self._steps += 1
        observation, success = self._observed()
        ended, cut = self._ending()
        terminated = (success and self.task.terminates_on_success) or ended
        truncated = self._steps >= self.task.horizon or cut
        return observation, float(success), terminated, truncated, {"is_success": success}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """1 where the goal is achieved, else 0; broadcasts over leading dimensions.

        Raises:
            UserError: goals are images.
        """
        if self.task.image_goals:
            raise UserError(
                "success cannot be seen in images: take the reward that step returns, or leave "
                'out goal="image"'
            )
        return np.asarray(self.task.success(achieved_goal, desired_goal), np.float64)

    def render(self) -> np.ndarray:
        """An image u8[H, W, 3] of the current state and the desired goal."""
        one = jax.tree.map(lambda x: np.asarray(x)[0], self._state)
        return self.world.draw(one, np.asarray(self._goal)[0])

    def _ending(self) -> tuple[bool, bool]:
        """Whether the world itself has terminated or truncated the episode."""
        if not isinstance(self.world, Simulator) or self.world.ending is None:
            return False, False
        ending = self.world.ending(self._state)
        if ending.lost[0]:
            raise WorldError(f"the process that ran {self.task.name} died or hung: reset it")
        return bool(ending.terminated[0]), bool(ending.truncated[0])

    def _key(self) -> np.ndarray:
        return self.np_random.integers(2**32, size=(1, 2), dtype=np.uint32)

    def _observed(self) -> tuple[dict[str, np.ndarray], bool]:
        """The observation as the policy is told it, and whether the goal is achieved."""
        obs, achieved = self.world.observe(self._state)
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


def policy_goal(world: World | Simulator, goal: Any) -> Any:
    """Goals [N, *G] as the policy is told them: in numbers, or by how they look."""
    if world.task.image_goals and isinstance(world, Simulator) and world.render_goal is not None:
        return world.render_goal(goal)
    return goal


def batched(world: World | Simulator) -> World | Simulator:
    """A world whose functions take N episodes at once, and keys as data u32[N, 2]."""
    if isinstance(world, Simulator):
        return world

    def keyed(function: Any) -> Any:
        return jit(lambda data, *rest: jax.vmap(function)(jax.random.wrap_key_data(data), *rest))

    return world._replace(
        reset=keyed(world.reset), step=keyed(world.step), observe=jit(jax.vmap(world.observe))
    )
