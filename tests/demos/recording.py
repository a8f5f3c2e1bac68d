"""Minari datasets made by Minari itself, for tests of reading them."""

from __future__ import annotations

import warnings
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from hem.types import Episodes

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float64)
GOAL = spaces.Box(0, 1, (2,), np.int8)
SPACES = {"observation": OBS, "achieved_goal": GOAL, "desired_goal": GOAL}


def record(
    name: str,
    buffers: list[EpisodeBuffer],
    observation_space: spaces.Space | None = None,
    action_space: spaces.Space | None = None,
) -> minari.MinariDataset:
    """A local dataset; by default of ``task``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nobody is named as its author
        return minari.create_dataset_from_buffers(
            name,
            buffers,
            observation_space=observation_space or spaces.Dict(SPACES),
            action_space=action_space or spaces.Discrete(3),
        )


def buffer_of(episodes: Episodes, row: int, **changes: Any) -> EpisodeBuffer:
    """One episode as Minari records it, with the reward of a failure in each step."""
    steps = int(episodes.length[row])
    frames = slice(steps + 1)
    last = np.arange(1, steps + 1) == steps
    parts = {
        "observations": {
            "observation": episodes.obs[row, frames].astype(np.float64),
            "achieved_goal": episodes.achieved[row, frames],
            "desired_goal": np.stack([episodes.goal[row]] * (steps + 1)),
        },
        "actions": episodes.action[row, :steps].astype(np.int64),
        "rewards": [-1.0] * steps,
        "terminations": [False] * steps,
        "truncations": last.tolist(),
        "infos": {},
    }
    return EpisodeBuffer(**parts | changes)


def altered(buffer: EpisodeBuffer, key: str, value: np.ndarray) -> EpisodeBuffer:
    """The same episode with other values under one key of its observations."""
    return EpisodeBuffer(**vars(buffer) | {"observations": buffer.observations | {key: value}})
