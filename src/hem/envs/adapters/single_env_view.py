"""One row of a vector environment as a single environment, for inspection."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from hem.envs.adapters.vector_env import VectorEnv
from hem.envs.spaces.codec import random_action, to_environment
from hem.envs.spaces.forms import KEYS


class SingleEnvView(gymnasium.Env):
    """The first row. The others take random actions."""

    def __init__(self, stage: VectorEnv) -> None:
        self._stage = stage
        self._rng = np.random.default_rng(0)
        self.observation_space = stage.env.single_observation_space
        self.action_space = stage.env.single_action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        """Reset all rows."""
        seeds = [(seed or 0) + row for row in range(self._stage.size)]
        obs, info = self._stage.reset_raw(range(self._stage.size), seeds)
        return _first(obs), _first(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Step all rows."""
        form = self._stage.forms.action
        others = [
            to_environment(form, random_action(form, self._rng))
            for _ in range(self._stage.size - 1)
        ]
        obs, reward, terminated, truncated, info = self._stage.step_raw(
            np.stack([np.asarray(action), *others])
        )
        over = bool(terminated[0] or truncated[0])
        first = _first(obs)
        if over and "final_obs" in info:
            last = info["final_obs"]
            first = {key: last[key][0] for key in KEYS} if isinstance(last, dict) else last[0]
            info = info.get("final_info", {})
        return first, float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def close(self) -> None:
        """Close the vector environment."""
        self._stage.close()


def _first(batch: Any) -> Any:
    """The first row of every array in a dict."""
    if isinstance(batch, dict):
        return {key: _first(value) for key, value in batch.items() if not key.startswith("_")}
    return batch[0] if isinstance(batch, np.ndarray) and batch.ndim else batch
