"""Simulations that resume exactly, as if they had not been interrupted.

MuJoCo's constraint solver starts its search from the last accelerations, which a physics state does
not include. Without them, results differ in the last digits, and even in the first if a thin object
slides, because such contacts amplify differences a billionfold within one step. Here these
accelerations, the *warm start*, are therefore part of an episode's state. MuJoCo's rollout does not
report them, so steps are taken by Python threads, during which MuJoCo's C code releases the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State
from hem.envs.mujoco.engine.model import import_mujoco
from hem.types import BatchedEnv, Box


class WarmState(NamedTuple):
    """N episodes at one time, and their solver warm starts."""

    state: State
    warm: np.ndarray  # f64[N, V]  accelerations of all V degrees of freedom, in SI units


class ResumablePhysics(Physics):
    """Physics that takes and returns the warm start. It still keeps no episode's state."""

    def __init__(self, model: Any, control_spec: int, substeps: int):
        super().__init__(model, control_spec, substeps)
        mujoco = import_mujoco()
        self._mujoco = mujoco
        self._state_spec = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self._whole_spec = int(self._state_spec | mujoco.mjtState.mjSTATE_WARMSTART)
        self._at_rest = np.empty(mujoco.mj_stateSize(model, control_spec))
        mujoco.mj_getState(model, mujoco.MjData(model), self._at_rest, control_spec)
        self._threads = ThreadPoolExecutor(len(self._dynamics_data), thread_name_prefix="physics")

    def resume(
        self, physics: np.ndarray, warm: np.ndarray, control: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Step like ``step``, but from these warm starts.

        Args:
            physics: f64[N, P]; NaN rows stay NaN.
            warm: f64[N, V]
            control: f64[N, C], in the order of the ``mjtState`` bits.

        Returns:
            f64[N, 2, P], the physics states after the last two substeps, and the warm starts
            f64[N, V] to continue with. A row whose simulation breaks is NaN throughout.
        """
        mujoco, model, size = self._mujoco, self._dynamics, physics.shape[1]
        substates = np.full((len(physics), 2, size), np.nan)
        after = np.full((len(physics), size + warm.shape[1]), np.nan)

        def step(data: Any, row: int) -> None:
            data.warning.number[:] = 0
            self._set(data, physics[row], warm[row], control[row])
            mujoco.mj_step(model, data, nstep=self.substeps - 1)
            mujoco.mj_getState(model, data, substates[row, 0], self._state_spec)
            mujoco.mj_step(model, data, nstep=1)
            mujoco.mj_getState(model, data, after[row], self._whole_spec)
            # MuJoCo would have reset a broken simulation, or continued without some contacts.
            if data.warning.number.any():
                substates[row], after[row] = np.nan, np.nan
                mujoco.mj_resetData(model, data)

        self._for_each(np.flatnonzero(np.isfinite(physics).all(axis=1)), step)
        substates[:, 1] = after[:, :size]
        return substates, after[:, size:]

    def forward(
        self, physics: np.ndarray, warm: np.ndarray, control: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the warm starts f64[N, V] after solving again in exactly these states.

        The default control is the model's own: actuators at 0, mocap bodies at their model poses.
        """
        mujoco, model = self._mujoco, self._dynamics
        after = np.full_like(warm, np.nan)
        held = np.tile(self._at_rest, (len(physics), 1)) if control is None else control

        def solve(data: Any, row: int) -> None:
            self._set(data, physics[row], warm[row], held[row])
            mujoco.mj_forward(model, data)
            after[row] = data.qacc_warmstart

        self._for_each(np.flatnonzero(np.isfinite(physics).all(axis=1)), solve)
        return after

    def cold(self, n: int) -> np.ndarray:
        """Return the warm starts f64[N, V] of new simulations."""
        return np.zeros((n, self._dynamics.nv))

    def _set(self, data: Any, physics: np.ndarray, warm: np.ndarray, control: np.ndarray) -> None:
        self._mujoco.mj_setState(self._dynamics, data, physics, self._state_spec)
        self._mujoco.mj_setState(self._dynamics, data, control, self._control_spec)
        data.qacc_warmstart = warm

    def _for_each(self, rows: np.ndarray, work: Callable[[Any, int], None]) -> None:
        """Process rows in parallel; each thread has its own scratch and takes the next free row."""
        left = iter(rows.tolist())

        def share(data: Any) -> None:
            for row in left:
                work(data, row)

        with self._lock:
            list(self._threads.map(share, self._dynamics_data))


def with_warm_start(
    made: BatchedEnv, physics: ResumablePhysics, rules: Rules, re_solve: bool
) -> BatchedEnv:
    """Return the environment ``made``, extended to carry warm starts from step to step.

    Args:
        made: what ``task.build`` returned.
        physics: of ``made``.
        rules: of ``made``.
        re_solve: whether a state is solved again before the next step, as is done if
            ``rules.post_step`` changes it.
    """
    assert isinstance(made.task.action, Box)
    low, high = (np.asarray(bound, np.float32) for bound in made.task.action)

    def reset(keys: np.ndarray) -> tuple[WarmState, np.ndarray]:
        state, goal = made.reset(keys)
        return WarmState(state, physics.forward(state.physics, physics.cold(len(keys)))), goal

    def step(before: WarmState, action: np.ndarray) -> WarmState:
        control = rules.control(before.state, np.clip(action, low, high))
        substates, warm = physics.resume(before.state.physics, before.warm, control)
        after, seen = rules.post_step(substates)
        if re_solve:
            warm = physics.forward(after, warm, control)
        return WarmState(State(after, physics.read_sensors(seen)), warm)

    def observe(now: WarmState) -> tuple[np.ndarray, np.ndarray]:
        return made.observe(now.state)

    def render(now: WarmState, goal: np.ndarray) -> np.ndarray:
        return made.render(now.state, goal)

    return made._replace(reset=reset, step=step, observe=observe, render=render)
