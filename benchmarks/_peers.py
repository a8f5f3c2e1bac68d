"""What one would use instead of hem's simulated tasks: Gymnasium in one process, and EnvPool."""

from __future__ import annotations

import importlib.util
from typing import Any

import gymnasium
import gymnasium_robotics
import numpy as np

from benchmarks import Runner
from hem.envs.mujoco import sawyer_reach
from hem.system.subprocesses import usable_cores

IDS = {"Reacher": "Reacher-v5"}  # where it is not our name
METAWORLD_SUBSTEPS = 5
STEPS = 300  # enough for one process, which is slow and steady


def peers(env: str, episodes: int, horizon: int) -> dict[str, Runner]:
    """Those that have this task and are installed."""
    found = {}
    made = _gymnasium(env)
    if made is not None:
        found["Gymnasium, one process"] = Runner(lambda: _one_by_one(made, horizon), STEPS)
    if env not in ("PointMass", "SawyerReach") and importlib.util.find_spec("envpool"):
        found[f"EnvPool, {usable_cores()} threads"] = _envpool(env, episodes, horizon)
    return found


def _gymnasium(env: str) -> gymnasium.Env | None:
    gymnasium.register_envs(gymnasium_robotics)
    if env == "PointMass":
        return None
    if env != "SawyerReach":
        return gymnasium.make(IDS.get(env, env))
    importlib.import_module("metaworld")  # registers its tasks
    made = gymnasium.make("Meta-World/MT1", env_name="reach-v3", disable_env_checker=True)
    return _HeldAsLong(made)


class _HeldAsLong(gymnasium.Wrapper):
    """metaworld with actions held for as long as ours; its reset is left alone."""

    def reset(self, **settings: Any) -> Any:
        self.unwrapped.frame_skip = METAWORLD_SUBSTEPS
        begun = self.env.reset(**settings)
        self.unwrapped.frame_skip = sawyer_reach.SUBSTEPS
        return begun


def _one_by_one(env: gymnasium.Env, horizon: int) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, *env.action_space.shape))
    for step, action in enumerate(actions.astype(np.float32)):
        if step % horizon == 0:
            env.reset()
        env.step(action)


def _envpool(env: str, episodes: int, horizon: int) -> Runner:
    envpool = importlib.import_module("envpool")
    pool = envpool.make(
        IDS.get(env, env), "gymnasium", num_envs=episodes, num_threads=usable_cores()
    )
    space = pool.action_space
    actions = np.random.default_rng(0).uniform(-1, 1, (horizon, episodes, *space.shape))
    actions = actions.astype(space.dtype)

    def run() -> None:
        pool.reset()
        for action in actions:
            pool.step(action)

    return Runner(run, episodes * horizon)
