"""Batched MuJoCo: stateless stepping of N episodes at once, by C++ threads.

A task provides four functions (``Rules``); ``batched_env`` combines them with the physics. One step
is::

    action    ──rules.control──────► control
    control   ──physics.step───────► substates
    substates ──rules.post_step────► physics, seen
    seen      ──physics.read_sensors─► sensors

MuJoCo's rollout reports sensors one substep late: they are computed at the beginning of a physics
step, before positions change. So sensors are read from a second, far cheaper model, the *kinematics
model*: the same bodies with forces and constraints disabled, stepped once from the given state only
to evaluate its sensors. It adds about 2% to a step of 20 substeps.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from hem.envs.mujoco.engine.model import import_mujoco
from hem.system.compile_cache import jit
from hem.system.subprocesses import usable_cores
from hem.types import BatchedEnv, Box, Task

PIECE_S = 5e-4  # target duration of a chunk of work for a thread


class State(NamedTuple):
    """N episodes at one time."""

    physics: np.ndarray  # f64[N, P]  MuJoCo's full physics state: time, qpos, qvel, act
    sensors: np.ndarray  # f64[N, K]  the model's sensor readings, in SI units


class Rules(NamedTuple):
    """What a task adds to the physics. S substeps per step, C control values."""

    start: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # (key u32[2]) -> f64[P], goal[G]
    control: Callable[[State, np.ndarray], np.ndarray]  # (state, action[N, A]) -> f64[N, C]
    post_step: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """(substates f64[N, S, P]) -> physics f64[N, P] to go on from, seen f64[N, P] for sensors."""
    observe: Callable[[State], tuple[np.ndarray, np.ndarray]]  # (state) -> obs[N, O], achieved
    goal_state: Callable[[np.ndarray], np.ndarray] | None = None
    """(goal[N, G]) -> f64[N, P], states in which they are achieved, for rendering."""
    batched_start: bool = False
    """``start`` takes all keys u32[N, 2] at once and returns f64[N, P], goal[N, G]: for physics so
    fast that starting one episode at a time would take a large part of the time."""


class Physics:
    """A compiled model and the threads that step it: scratch memory, but no episode's state.

    Every row starts from its physics state alone (contacts, forces and the solver's warm start
    are rebuilt), so its result depends neither on other rows nor on earlier calls.
    """

    def __init__(self, model: Any, control_spec: int, substeps: int):
        """Start one thread per core available to this process.

        Args:
            model: an ``MjModel``; later changes to it have no effect here.
            control_spec: the ``mjtState`` bits that ``step`` sets from its control.
            substeps: physics steps per call of ``step``.
        """
        mujoco = import_mujoco()
        self.substeps = substeps
        self.timestep = model.opt.timestep  # s, of one substep
        self._control_spec = int(control_spec)
        self._dynamics = _without(mujoco, model, "SENSOR")
        self._kinematics = _without(
            mujoco, model, "CONSTRAINT CONTACT PASSIVE GRAVITY ACTUATION EULERDAMP AUTORESET"
        )
        threads = usable_cores()
        self._dynamics_data = [mujoco.MjData(self._dynamics) for _ in range(threads)]
        self._kinematics_data = [mujoco.MjData(self._kinematics) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._row_s = min(self._time_row(mujoco) for _ in range(3))
        self._lock = threading.Lock()  # the scratch serves one caller at a time

    def _time_row(self, mujoco: Any) -> float:
        """Seconds that a step of one row takes."""
        start = time.perf_counter()
        mujoco.mj_step(self._dynamics, self._dynamics_data[0], nstep=self.substeps)
        return time.perf_counter() - start

    def step(self, physics: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Hold a control for one step of each episode.

        A row whose simulation breaks (non-finite or huge numbers, full buffers) is NaN
        throughout. MuJoCo would silently reset such a row, or stop it early.

        Args:
            physics: f64[N, P]; NaN rows stay NaN.
            control: f64[N, C], in the order of the ``mjtState`` bits.

        Returns:
            f64[N, S, P], the physics state after every substep.
        """
        alive = np.isfinite(physics)
        if not alive.all():  # rare; otherwise nothing is copied
            return _only(np.all(alive, axis=1), self.step, physics, control)
        substates = np.empty((len(physics), self.substeps, physics.shape[1]))
        held = np.empty((len(physics), self.substeps, control.shape[1]))
        held[:] = control[:, None]
        chunk = self._chunk(len(physics))
        self._rollout(self._dynamics, self._dynamics_data, physics, held, substates, None, chunk)
        # After a reset or an early stop, the clock (state 0) is short of a full step.
        passed = substates[:, -1, 0] - physics[:, 0]
        whole = np.abs(passed - self.substeps * self.timestep) < 0.5 * self.timestep
        substates[~whole] = np.nan
        return substates

    def read_sensors(self, physics: np.ndarray) -> np.ndarray:
        """Return f64[N, K], the sensors in exactly these states f64[N, P]; NaN for NaN."""
        if not self._kinematics.nsensordata:
            return np.empty((len(physics), 0))
        alive = np.isfinite(physics)
        if not alive.all():
            return _only(np.all(alive, axis=1), self.read_sensors, physics)
        read = np.empty((len(physics), 1, self._kinematics.nsensordata))
        chunk = -(-len(read) // len(self._kinematics_data))
        self._rollout(self._kinematics, self._kinematics_data, physics, None, None, read, chunk)
        return read[:, 0]

    def _chunk(self, rows: int) -> int:
        """The number of rows that a thread takes at a time, large enough for negligible overhead.

        One if physics is slow, so that no thread waits long for the last one. Rows are divided
        evenly, since there are few chunks if physics is fast.
        """
        threads = len(self._dynamics_data)
        rounds = max(1, round(rows * self._row_s / (threads * PIECE_S)))
        return max(1, -(-rows // (threads * rounds)))

    def _rollout(
        self,
        model: Any,
        data: list[Any],
        physics: np.ndarray,
        control: np.ndarray | None,
        substates: np.ndarray | None,
        sensors: np.ndarray | None,
        chunk: int,
    ) -> None:
        """Run, and write states into ``substates`` or sensor readings into ``sensors``.

        MuJoCo's checks in Python are skipped, as they allocate the unwanted output.
        """
        if not len(physics):
            return
        with self._lock:
            self._pool.rollout(
                [model] * len(physics),
                data,
                np.ascontiguousarray(physics),
                control,
                control_spec=self._control_spec,
                nstep=1 if substates is None else self.substeps,
                skip_checks=True,
                state=substates,
                sensordata=sensors,
                chunk_size=chunk,
            )


def batched_env(
    task: Task, physics: Physics, rules: Rules, render: Callable[[State, np.ndarray], np.ndarray]
) -> BatchedEnv:
    """Combine a task's rules and its ``render(one state, goal[G])`` with the physics."""
    assert isinstance(task.action, Box)
    low, high = (np.asarray(bound, np.float32) for bound in task.action)

    def reset(keys: np.ndarray) -> tuple[State, np.ndarray]:
        if rules.batched_start:
            start, goal = rules.start(keys)
        else:
            start, goal = map(np.stack, zip(*map(rules.start, keys), strict=True))
        return State(start, physics.read_sensors(start)), goal

    def step(state: State, action: np.ndarray) -> State:
        control = rules.control(state, np.clip(action, low, high))
        after, seen = rules.post_step(physics.step(state.physics, control))
        return State(after, physics.read_sensors(seen))

    return BatchedEnv(
        task=task,
        reset=reset,
        step=step,
        observe=rules.observe,
        render=render,
    )


def uniform(keys: np.ndarray, n: int) -> np.ndarray:
    """Return ``n`` uniform numbers in [0, 1) per key: f64[N, n] for keys u32[N, 2]."""
    return np.asarray(_uniform(keys, n), np.float64)


@partial(jit, static_argnums=1)
def _uniform(keys: np.ndarray, n: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.uniform(jax.random.wrap_key_data(key), (n,)))(keys)


def _only(rows: np.ndarray, run: Callable[..., np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """Return the result of ``run`` on these rows bool[N] of the inputs, and NaN for the others."""
    ran = run(*(x[rows] for x in inputs))
    whole = np.full((len(rows), *ran.shape[1:]), np.nan)
    whole[rows] = ran
    return whole


def _without(mujoco: Any, model: Any, features: str) -> Any:
    """Return a copy of the model with these features (names of ``mjtDisableBit``) disabled."""
    changed = copy.copy(model)
    for feature in features.split():
        changed.opt.disableflags |= getattr(mujoco.mjtDisableBit, f"mjDSBL_{feature}")
    return changed
