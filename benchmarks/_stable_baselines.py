"""Stable-Baselines3 with HER on hem's tasks, evaluated as hem evaluates.

DQN with discrete actions, DDPG with continuous ones, and the reward -1/0. Where both libraries have
a setting, its value is that of hem's preset for HER; the rest are Stable-Baselines3's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import gymnasium
import numpy as np

Row = TypedDict(
    "Row",
    {
        "env_steps": int,
        "wall_s": float,
        "eval/success_rate": float,
        "eval/final_success_rate": float,
    },
)


class Budget(NamedTuple):
    """How long to train, and how often and well to evaluate."""

    env_steps: int
    eval_interval: int
    eval_episodes: int


class Settings(NamedTuple):
    """What Stable-Baselines3 is told."""

    hidden_dims: tuple[int, ...]
    batch_size: int
    train_freq: tuple[int, str]
    gradient_steps: int
    learning_starts: int
    gamma: float
    learning_rate: float = 1e-3
    random_eps: float = 0.3  # discrete actions
    action_noise: float = 0.2  # continuous actions, in units of half the range
    tau: float = 0.005
    buffer_size: int = 100_000  # steps; more than any run here takes


class MinusOne(gymnasium.Wrapper):
    """Of an environment with the reward 0/1: the reward -1/0, for relabeled goals too."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, *rest = self.env.step(action)
        return obs, float(reward) - 1, *rest

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return self.env.get_wrapper_attr("compute_reward")(achieved_goal, desired_goal, info) - 1


def train(
    make: Callable[[bool], gymnasium.Env], settings: Settings, budget: Budget, seed: int
) -> list[Row]:
    """Train with one thread, and return the evaluations.

    Args:
        make: the environment with the reward -1/0, ending at success or not; evaluation never cuts
            an episode short.
        settings: of the algorithm.
        budget: of the run.
        seed: of the run.
    """
    import torch  # noqa: PLC0415  an extra
    from stable_baselines3.common.callbacks import BaseCallback  # noqa: PLC0415

    torch.set_num_threads(1)
    start, rows = time.perf_counter(), []
    judged_in = make(False)

    class Evaluations(BaseCallback):
        due = budget.eval_interval

        def _on_step(self) -> bool:
            if self.num_timesteps >= self.due:
                self.due += budget.eval_interval
                fresh = 10_000 * (seed + 1) + len(rows) * budget.eval_episodes
                any_step, last = success(self.model, judged_in, budget.eval_episodes, fresh)
                rows.append({
                    "env_steps": self.num_timesteps,
                    "wall_s": round(time.perf_counter() - start, 4),
                    "eval/success_rate": any_step,
                    "eval/final_success_rate": last,
                })  # fmt: skip
            return True

    model(make(True), settings, seed).learn(budget.env_steps, Evaluations())
    return rows


def success(actor: Any, env: gymnasium.Env, episodes: int, first_seed: int) -> tuple[float, float]:
    """The share of episodes, run greedily to the horizon, with success at any and at the last step.

    Args:
        actor: has ``predict``.
        env: does not end at success.
        episodes: their number.
        first_seed: of the first episode; the others count up from it.
    """
    reached = []
    for number in range(episodes):
        obs, _ = env.reset(seed=first_seed + number)
        ended, steps = False, []
        while not ended:
            action, _ = actor.predict(obs, deterministic=True)
            obs, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            steps.append(bool(info["is_success"]))
        reached.append((any(steps), steps[-1]))
    any_step, last = np.mean(reached, axis=0)
    return float(any_step), float(last)


def model(env: gymnasium.Env, settings: Settings, seed: int) -> Any:
    """DQN or DDPG with HER."""
    from stable_baselines3 import DDPG, DQN, HerReplayBuffer  # noqa: PLC0415
    from stable_baselines3.common.noise import NormalActionNoise  # noqa: PLC0415

    shared = {
        "policy": "MultiInputPolicy",
        "env": env,
        "replay_buffer_class": HerReplayBuffer,  # 4 goals in 5 by "future", as by default
        "buffer_size": settings.buffer_size,
        "learning_rate": settings.learning_rate,
        "learning_starts": settings.learning_starts,
        "batch_size": settings.batch_size,
        "gamma": settings.gamma,
        "tau": settings.tau,
        "train_freq": settings.train_freq,
        "gradient_steps": settings.gradient_steps,
        "policy_kwargs": {"net_arch": list(settings.hidden_dims)},
        "seed": seed,
        "device": "cpu",
    }
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        eps = settings.random_eps
        return DQN(
            **shared,
            target_update_interval=1,
            exploration_initial_eps=eps,
            exploration_final_eps=eps,
        )
    shape = env.action_space.shape
    noise = NormalActionNoise(np.zeros(shape), np.full(shape, settings.action_noise))
    return DDPG(**shared, action_noise=noise)
