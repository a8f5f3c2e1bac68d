"""Episodes of somebody else's environments, as a simulator of hem."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hem.envs.adapters.agreement import Agreement
from hem.envs.adapters.env_id import EnvSpec
from hem.envs.adapters.env_slots import EnvSlots, StepResult
from hem.envs.adapters.open_slots import make_env_slots
from hem.envs.adapters.probe import EnvInfo
from hem.envs.adapters.reported_success import UNSAID
from hem.envs.adapters.worker_pool import Workers
from hem.errors import WorldError
from hem.types import Ending, Simulator, Task


class State(NamedTuple):
    """N episodes at one moment. What goes on between moments is in the environments.

    So time only goes forward: a state that was stepped on from cannot be stepped again.
    """

    slot: np.ndarray  # i32[N]
    obs: np.ndarray  # [N, *O]
    achieved: np.ndarray  # [N, *G]
    moment: np.ndarray  # i32[N]  steps taken
    terminated: np.ndarray  # bool[N]
    truncated: np.ndarray  # bool[N]
    lost: np.ndarray  # bool[N]


def simulator(
    task: Task, plan: EnvSpec, survey: EnvInfo, workers: int, patience: float
) -> Simulator:
    """The environments of ``plan``, opened when they are first needed.

    Args:
        task: what they look like inside hem.
        plan: how one is made.
        survey: what was found out of them.
        workers: processes that step them, or 0 for this one.
        patience: seconds that a call may take in a process before it is started again.
    """
    slots = survey.rows if survey.rows and plan.origin.kind != "envpool" else plan.slots
    stage: EnvSlots | None = None  # many worlds are only asked for a task
    moments = np.zeros(slots, np.int32)
    agreement = Agreement(task.name, survey.verdict, slots)
    given = survey.verdict.given  # then it is the user who knows

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
        moments[:n] = 0
        return _state(np.arange(n, dtype=np.int32), frames, moments), frames.goal

    def step(state: State, action: np.ndarray) -> State:
        slot = state.slot
        assert (state.moment == moments[slot]).all(), "this world goes forward only"
        frames = opened().step(slot.tolist(), action)
        if not given:
            agreement.step(slot.tolist(), frames)
        moments[slot] += 1
        return _state(slot, frames, moments)

    def draw(state: State, goal: np.ndarray) -> np.ndarray:
        return _picture(plan, opened().render(int(state.slot)))

    return Simulator(
        task=task,
        reset=reset,
        step=step,
        observe=lambda state: (state.obs, state.achieved),
        draw=draw,
        ending=lambda state: Ending(state.terminated, state.truncated, state.lost),
        max_num_envs=slots,
    )


def _state(slot: np.ndarray, frames: StepResult, moments: np.ndarray) -> State:
    return State(
        slot,
        frames.obs,
        frames.achieved,
        moments[slot],
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
    return Workers(plan, min(plan.slots, workers), patience, blank)


def _picture(plan: EnvSpec, frame: Any) -> np.ndarray:
    """What ``render`` returned, if it is an image u8[H, W, 3].

    Raises:
        WorldError: it is not.
    """
    frame = np.asarray(frame)
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8:
        return frame
    raise WorldError(
        f"{plan.origin.short} cannot draw itself: its render() returned no image u8[H, W, 3]; "
        "let its constructor take render_mode='rgb_array', and render() return an array"
    )
