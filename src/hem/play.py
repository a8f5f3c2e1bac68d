"""A policy at work, as frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hem import registry
from hem.errors import require
from hem.export import load_policy
from hem.gym import GoalEnv
from hem.run import Run

PAUSE = 6  # frames on the last state of an episode, so that its end can be seen


def frames(run_dir: str | Path, episodes: int = 5, seed: int = 0) -> Iterator[np.ndarray]:
    """Pictures u8[H, W, 3] of a run's policy, greedy, one a step, episode after episode."""
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    run = Run(Path(run_dir))
    policy = load_policy(run_dir)
    world = registry.load("environment", run.experiment.env).make(run.experiment.env_config)
    env = GoalEnv(world, render_mode="rgb_array")
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        frame = env.render()
        yield frame
        ended = False
        while not ended:
            action, _ = policy.predict(observation)
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            frame = env.render()
            yield frame
        yield from [frame] * PAUSE
