"""Batched MuJoCo: N episodes stepped at once by C++ threads, without any state of its own.

A task gives four functions (``Rules``); ``simulator`` joins them with the physics. One step is::

    action ──rules.control──► control ──physics.advance──► path ──rules.settle──► physics, seen
                                                             seen ──physics.sense──► sensors

MuJoCo's rollout reports sensors one substep late: they are computed on the way into a physics
step, before positions move. So sensors are read by a second, far cheaper model, the *kinematic
twin*: the same bodies with forces and constraints off, stepped once from the state in question
only to evaluate its sensors. It adds about 2% to a step of 20 substeps.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco.model import import_mujoco
from hem.types import Box, Simulator, Task


class State(NamedTuple):
    """N episodes at one moment."""

    physics: np.ndarray  # f64[N, P]  MuJoCo's full physics state: time, qpos, qvel, act
    sensors: np.ndarray  # f64[N, K]  what the model's sensors say, in SI units


class Rules(NamedTuple):
    """What a task adds to the physics. S substeps of a step, C numbers of control."""

    start: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # (key u32[2]) -> f64[P], goal[G]
    control: Callable[[State, np.ndarray], np.ndarray]  # (state, action[N, A]) -> f64[N, C]
    settle: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """(path f64[N, S, P]) -> physics f64[N, P] to go on from, seen f64[N, P] to read sensors of."""
    observe: Callable[[State], tuple[np.ndarray, np.ndarray]]  # (state) -> obs[N, O], achieved


class Physics:
    """A compiled model and the threads that step it: scratch memory, never an episode's state.

    Every row starts from its physics state alone (contacts, forces and the solver's warm start
    are rebuilt), so a row's result depends neither on the other rows nor on what ran before.
    """

    def __init__(self, model: Any, control_spec: int, substeps: int):
        """Start one thread per core this process may use.

        Args:
            model: an ``MjModel``; later changes to it have no effect here.
            control_spec: the ``mjtState`` bits that ``advance`` sets from its control.
            substeps: physics steps per call of ``advance``.
        """
        mujoco = import_mujoco()
        self.substeps = substeps
        self.timestep = model.opt.timestep  # s, of one substep
        self._control_spec = int(control_spec)
        self._moving = _without(mujoco, model, "SENSOR")
        self._still = _without(
            mujoco, model, "CONSTRAINT CONTACT PASSIVE GRAVITY ACTUATION EULERDAMP AUTORESET"
        )
        threads = usable_cores()
        self._moving_data = [mujoco.MjData(self._moving) for _ in range(threads)]
        self._still_data = [mujoco.MjData(self._still) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._lock = threading.Lock()  # the scratch serves one caller at a time

    def advance(self, physics: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Hold a control for one step of each episode.

        A row whose simulation breaks (non-finite or huge numbers, buffers full) is NaN
        throughout. MuJoCo would reset such a row, or stop it early, and carry on in silence.

        Args:
            physics: f64[N, P]; NaN rows stay NaN.
            control: f64[N, C], in the order of the ``mjtState`` bits.

        Returns:
            f64[N, S, P], the physics state after every substep.
        """
        path = np.full((len(physics), self.substeps, physics.shape[1]), np.nan)
        alive = np.isfinite(physics).all(axis=1)
        if alive.any():
            ran = np.empty((alive.sum(), *path.shape[1:]))
            held = np.repeat(np.float64(control[alive, None]), self.substeps, axis=1)
            # One row at a time to each thread: at this length handing out costs nothing.
            self._rollout(self._moving, self._moving_data, physics[alive], held, ran, None, 1)
            # A reset or an early stop both leave the clock (state 0) short of a whole step.
            passed = ran[:, -1, 0] - physics[alive, 0]
            whole = np.abs(passed - self.substeps * self.timestep) < 0.5 * self.timestep
            ran[~whole] = np.nan
            path[alive] = ran
        return path

    def sense(self, physics: np.ndarray) -> np.ndarray:
        """Return f64[N, K], the model's sensors in exactly these states f64[N, P]; NaN for NaN."""
        sensors = np.full((len(physics), self._still.nsensordata), np.nan)
        alive = np.isfinite(physics).all(axis=1)
        if alive.any():
            read = np.empty((alive.sum(), 1, sensors.shape[1]))
            chunk = -(-len(read) // len(self._still_data))
            self._rollout(self._still, self._still_data, physics[alive], None, None, read, chunk)
            sensors[alive] = read[:, 0]
        return sensors

    def _rollout(
        self,
        model: Any,
        data: list[Any],
        physics: np.ndarray,
        control: np.ndarray | None,
        path: np.ndarray | None,
        sensors: np.ndarray | None,
        chunk: int,
    ) -> None:
        """Run, and write the states into ``path`` or what the sensors say into ``sensors``.

        Without MuJoCo's checks in Python, which allocate the output that is not wanted.
        """
        with self._lock:
            self._pool.rollout(
                [model] * len(physics),
                data,
                physics,
                control,
                control_spec=self._control_spec,
                nstep=1 if path is None else self.substeps,
                skip_checks=True,
                state=path,
                sensordata=sensors,
                chunk_size=chunk,
            )


def simulator(
    task: Task, physics: Physics, rules: Rules, draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Simulator:
    """Join a task's rules and a camera's ``draw(physics[P], goal[G])`` with the physics."""
    assert isinstance(task.action, Box)
    low, high = (np.asarray(bound, np.float32) for bound in task.action)

    def reset(keys: np.ndarray) -> tuple[State, np.ndarray]:
        starts, goals = zip(*(rules.start(key) for key in keys), strict=True)
        start = np.stack(starts)
        return State(start, physics.sense(start)), np.stack(goals)

    def step(state: State, action: np.ndarray) -> State:
        control = rules.control(state, np.clip(action, low, high))
        after, seen = rules.settle(physics.advance(state.physics, control))
        return State(after, physics.sense(seen))

    return Simulator(
        task=task,
        reset=reset,
        step=step,
        observe=rules.observe,
        draw=lambda state, goal: draw(state.physics, goal),
    )


def _without(mujoco: Any, model: Any, features: str) -> Any:
    """Return a copy of the model with these features (names of ``mjtDisableBit``) off."""
    changed = copy.copy(model)
    for feature in features.split():
        changed.opt.disableflags |= getattr(mujoco.mjtDisableBit, f"mjDSBL_{feature}")
    return changed


def usable_cores() -> int:
    """Count the cores this process may run on, which a batch system may hold below the total."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
