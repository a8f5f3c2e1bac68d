"""Episodes of third-party environments, as a ``BatchedEnv``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hem.envs.adapters.agreement import Agreement
from hem.envs.adapters.env_id import EnvSpec
from hem.envs.adapters.env_slots import EnvSlots, StepResult
from hem.envs.adapters.open_slots import make_env_slots
from hem.envs.adapters.probe import EnvInfo
from hem.envs.adapters.reported_success import UNSAID
from hem.envs.adapters.worker_pool import EnvWorkers
from hem.errors import EnvError
from hem.types import BatchedEnv, Ending, Task


class State(NamedTuple):
    """N episodes at one time. The actual state is in the environments.

    So time only moves forward: a state can be stepped only once.
    """

    slot: np.ndarray  # i32[N]
    obs: np.ndarray  # [N, *O]
    achieved: np.ndarray  # [N, *G]
    timestep: np.ndarray  # i32[N]  steps taken
    terminated: np.ndarray  # bool[N]
    truncated: np.ndarray  # bool[N]
    lost: np.ndarray  # bool[N]


def batched_env(
    task: Task, plan: EnvSpec, env_info: EnvInfo, workers: int, patience: float
) -> BatchedEnv:
    """The environments of ``plan``, opened when first needed.

    Args:
        task: their task inside hem.
        plan: how to make one.
        env_info: what inspection found.
        workers: processes that step them, or 0 for this one.
        patience: seconds that a call may take before its process is restarted.
    """
    slots = env_info.rows if env_info.rows and plan.origin.kind != "envpool" else plan.slots
    stage: EnvSlots | None = None  # often only the task is needed
    timesteps = np.zeros(slots, np.int32)
    agreement = Agreement(task.name, env_info.verdict, slots)
    given = env_info.verdict.given  # then the user's definition is trusted

    def opened() -> EnvSlots:
        nonlocal stage
        if stage is None:
            stage = _open(task, plan, workers, patience)
        return stage

    def reset(keys: np.ndarray) -> tuple[State, np.ndarray]:
        n = len(keys)
        assert n <= slots, f"{n} episodes, but {slots} slots"
        frames = opened().reset(range(n), [int(key[-1] >> 1) for key in keys])
        if not given:
            agreement.begin(range(n), frames)
        timesteps[:n] = 0
        return _state(np.arange(n, dtype=np.int32), frames, timesteps), frames.goal

    def step(state: State, action: np.ndarray) -> State:
        slot = state.slot
        assert (state.timestep == timesteps[slot]).all(), "this environment only goes forward"
        frames = opened().step(slot.tolist(), action)
        if not given:
            agreement.step(slot.tolist(), frames)
        timesteps[slot] += 1
        return _state(slot, frames, timesteps)

    def render(state: State, goal: np.ndarray) -> np.ndarray:
        return _picture(plan, opened().render(int(state.slot)))

    return BatchedEnv(
        task=task,
        reset=reset,
        step=step,
        observe=lambda state: (state.obs, state.achieved),
        render=render,
        ending=lambda state: Ending(state.terminated, state.truncated, state.lost),
        max_num_envs=slots,
    )


def _state(slot: np.ndarray, frames: StepResult, timesteps: np.ndarray) -> State:
    return State(
        slot,
        frames.obs,
        frames.achieved,
        timesteps[slot],
        frames.terminated,
        frames.truncated,
        frames.lost,
    )


def _open(task: Task, plan: EnvSpec, workers: int, patience: float) -> EnvSlots:
    if workers == 0:
        return make_env_slots(plan)
    goal = np.zeros((1, *task.goal_shape), task.goal_dtype)
    blank = StepResult(
        obs=np.zeros((1, *task.obs_shape), task.obs_dtype),
        achieved=goal,
        goal=goal,
        terminated=np.zeros(1, bool),
        truncated=np.zeros(1, bool),
        lost=np.ones(1, bool),
        reward=np.full(1, np.nan),
        said=np.full(1, UNSAID, np.int8),
    )
    return EnvWorkers(plan, min(plan.slots, workers), patience, blank)


def _picture(plan: EnvSpec, frame: Any) -> np.ndarray:
    """The image u8[H, W, 3] that ``render`` returned.

    Raises:
        EnvError: it is not such an image.
    """
    frame = np.asarray(frame)
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8:
        return frame
    raise EnvError(
        f"{plan.origin.short} cannot be rendered: its render() returned no image u8[H, W, 3]; let "
        "its constructor accept render_mode='rgb_array', and render() return an array"
    )
