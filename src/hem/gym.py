"""Our worlds as Gymnasium environments: ``gymnasium.make("hem/FlipBit-v0", bits=50)``.

``import hem`` registers them. They are goal environments as Gymnasium-Robotics defines them: a dict
of ``observation``, ``achieved_goal`` and ``desired_goal``, and ``compute_reward`` with
``reward == compute_reward(achieved_goal, desired_goal, info)`` on what ``step`` returned. The
reward is 1 on success, else 0; ``info["is_success"]`` says the same.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from hem import registry
from hem.types import Box, Discrete, Simulator, Task, World


def make(env: str, render_mode: str | None = None, **settings: Any) -> GoalEnv:
    """The environment ``env`` with fields of its configuration set."""
    module = registry.load("environment", env)
    return GoalEnv(module.make(module.Config(**settings)), render_mode)


class GoalEnv(gymnasium.Env):
    """One episode at a time of a ``World`` or ``Simulator``."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  Gymnasium's form

    def __init__(self, world: World | Simulator, render_mode: str | None = None) -> None:
        self.world: Any = _single(world) if isinstance(world, World) else world
        self.task = world.task
        self.render_mode = render_mode
        goal = _space(self.task.goal_shape, self.task.goal_dtype)
        self.observation_space = spaces.Dict(
            observation=_space(self.task.obs_shape, self.task.obs_dtype),
            achieved_goal=goal,
            desired_goal=goal,
        )
        self.action_space = _action_space(self.task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode; equal seeds begin equal ones."""
        super().reset(seed=seed)
        self._state, self._goal = self.world.reset(self._key())
        self._steps = 0
        observation = self._observation()
        return observation, {"is_success": self._success(observation)}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take an action, in the units of ``action_space``."""
        batch = np.asarray(action, self.task.action.dtype)[None]
        if isinstance(self.world, Simulator):
            self._state = self.world.step(self._state, batch)
        else:
            self._state = self.world.step(self._key(), self._state, batch)
        self._steps += 1
        observation = self._observation()
        success = self._success(observation)
        terminated = success and self.task.terminates_on_success
        truncated = self._steps >= self.task.horizon
        return observation, float(success), terminated, truncated, {"is_success": success}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """1 where the goal is achieved, else 0; broadcasts over leading dimensions."""
        return np.asarray(self.task.success(achieved_goal, desired_goal), np.float64)

    def render(self) -> np.ndarray:
        """A picture u8[H, W, 3] of the current state and the desired goal."""
        one = jax.tree.map(lambda x: np.asarray(x)[0], self._state)
        return self.world.draw(one, np.asarray(self._goal)[0])

    def _key(self) -> np.ndarray:
        return self.np_random.integers(2**32, size=(1, 2), dtype=np.uint32)

    def _observation(self) -> dict[str, np.ndarray]:
        obs, achieved = self.world.observe(self._state)
        return {
            "observation": np.array(obs[0]),
            "achieved_goal": np.array(achieved[0]),
            "desired_goal": np.array(self._goal[0]),
        }

    def _success(self, observation: dict[str, np.ndarray]) -> bool:
        return bool(self.task.success(observation["achieved_goal"], observation["desired_goal"]))


def _single(world: World) -> World:
    """A JAX world as a batch of one, compiled, taking key data."""

    def keyed(function: Any) -> Any:
        return jax.jit(
            lambda data, *rest: jax.vmap(function)(jax.random.wrap_key_data(data), *rest)
        )

    return world._replace(
        reset=keyed(world.reset), step=keyed(world.step), observe=jax.jit(jax.vmap(world.observe))
    )


def _space(shape: tuple[int, ...], dtype: np.dtype) -> spaces.Box:
    if dtype == np.int8:
        return spaces.Box(0, 1, shape, np.int8)
    if dtype == np.uint8:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _action_space(task: Task) -> spaces.Space:
    if isinstance(task.action, Discrete):
        return spaces.Discrete(task.action.n)
    assert isinstance(task.action, Box)
    return spaces.Box(
        np.array(task.action.low, np.float32),
        np.array(task.action.high, np.float32),
        dtype=np.float32,
    )
