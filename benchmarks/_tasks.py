"""The simulated tasks that can be had here, taken apart."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from hem import registry
from hem.envs.mujoco.engine import task
from hem.envs.mujoco.engine.batched import Physics, Rules
from hem.runs.experiment import make_experiment
from hem.types import Algorithm, BatchedEnv

NEEDS = {"SawyerReach": "metaworld"}  # packages that do not come with hem


class Inside(NamedTuple):
    """A task, its learner, and what the task was made of."""

    batched_env: BatchedEnv
    algorithm: Algorithm
    physics: Physics
    rules: Rules
    eye: tuple | None  # what ``render_pool`` takes for the images that are observed, but processes


def names() -> list[str]:
    """The tasks on MuJoCo whose packages are installed."""
    return [
        entry.name
        for entry in registry.entries("environment").values()
        if entry.module.startswith("hem.envs.mujoco.")
        and importlib.util.find_spec(NEEDS.get(entry.name, "mujoco"))
    ]


def take_apart(env: str, **settings: Any) -> Inside:
    """Make a task, and keep what ``task.build`` puts together."""
    with (
        mock.patch.object(task, "batched_env", wraps=task.batched_env) as joined,
        mock.patch.object(task, "render_pool", wraps=task.render_pool) as shot,
    ):
        made, algorithm = make_experiment(env, **settings).build()
    assert isinstance(made, BatchedEnv)
    _, physics, rules, _ = joined.call_args.args
    return Inside(
        made, algorithm, physics, rules, shot.call_args.args[:-1] if shot.called else None
    )


def drawn(inside: Inside, episodes: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys u32[N, 2] of starts, and random actions f32[T, N, A]."""
    rng = np.random.default_rng(0)
    keys = rng.integers(2**32, size=(episodes, 2), dtype=np.uint32)
    low, high = inside.batched_env.task.action
    actions = rng.uniform(low, high, (steps, episodes, len(low)))
    return keys, actions.astype(np.float32)


def trail(inside: Inside, keys: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The physics states f64[N, T, P] gone through, and the controls f64[N, T, C] held in them."""
    states, controls = [], []
    now, _ = inside.batched_env.reset(keys)
    for action in actions:
        state = getattr(now, "state", now)  # where simulations are resumed, it is a part of it
        states.append(state.physics)
        controls.append(inside.rules.control(state, action))
        now = inside.batched_env.step(now, action)
    return np.stack(states, axis=1), np.stack(controls, axis=1, dtype=np.float64)
