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
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.model import import_mujoco
from hem.system.subprocesses import usable_cores
from hem.types import Box, Simulator, Task

PIECE_S = 5e-4  # of work that a thread takes at a time


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
    fulfil: Callable[[np.ndarray], np.ndarray] | None = None
    """(goal[N, G]) -> f64[N, P], states in which they are achieved, to be looked at."""
    starts_together: bool = False
    """``start`` takes all keys u32[N, 2] at once and returns f64[N, P], goal[N, G]: for physics so
    fast that starting episode by episode would take a good part of the time."""


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
        self._row_s = min(self._time_row(mujoco) for _ in range(3))
        self._lock = threading.Lock()  # the scratch serves one caller at a time

    def _time_row(self, mujoco: Any) -> float:
        """Seconds that one row takes for a step."""
        start = time.perf_counter()
        mujoco.mj_step(self._moving, self._moving_data[0], nstep=self.substeps)
        return time.perf_counter() - start

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
        alive = np.isfinite(physics)
        if not alive.all():  # rare: of the others, nothing is copied
            return _only(np.all(alive, axis=1), self.advance, physics, control)
        path = np.empty((len(physics), self.substeps, physics.shape[1]))
        held = np.empty((len(physics), self.substeps, control.shape[1]))
        held[:] = control[:, None]
        chunk = self._chunk(len(physics))
        self._rollout(self._moving, self._moving_data, physics, held, path, None, chunk)
        # A reset or an early stop both leave the clock (state 0) short of a whole step.
        passed = path[:, -1, 0] - physics[:, 0]
        whole = np.abs(passed - self.substeps * self.timestep) < 0.5 * self.timestep
        path[~whole] = np.nan
        return path

    def sense(self, physics: np.ndarray) -> np.ndarray:
        """Return f64[N, K], the model's sensors in exactly these states f64[N, P]; NaN for NaN."""
        if not self._still.nsensordata:
            return np.empty((len(physics), 0))
        alive = np.isfinite(physics)
        if not alive.all():
            return _only(np.all(alive, axis=1), self.sense, physics)
        read = np.empty((len(physics), 1, self._still.nsensordata))
        chunk = -(-len(read) // len(self._still_data))
        self._rollout(self._still, self._still_data, physics, None, None, read, chunk)
        return read[:, 0]

    def _chunk(self, rows: int) -> int:
        """How many rows a thread takes at a time: so many that handing them out costs nothing.

        One where physics is slow, so that no thread waits long for the last; and rows are dealt
        evenly, for where it is fast there are few pieces.
        """
        threads = len(self._moving_data)
        rounds = max(1, round(rows * self._row_s / (threads * PIECE_S)))
        return max(1, -(-rows // (threads * rounds)))

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
        if not len(physics):
            return
        with self._lock:
            self._pool.rollout(
                [model] * len(physics),
                data,
                np.ascontiguousarray(physics),
                control,
                control_spec=self._control_spec,
                nstep=1 if path is None else self.substeps,
                skip_checks=True,
                state=path,
                sensordata=sensors,
                chunk_size=chunk,
            )


def simulator(
    task: Task, physics: Physics, rules: Rules, draw: Callable[[State, np.ndarray], np.ndarray]
) -> Simulator:
    """Join a task's rules and a way to ``draw(one state, goal[G])`` with the physics."""
    assert isinstance(task.action, Box)
    low, high = (np.asarray(bound, np.float32) for bound in task.action)

    def reset(keys: np.ndarray) -> tuple[State, np.ndarray]:
        if rules.starts_together:
            start, goal = rules.start(keys)
        else:
            start, goal = map(np.stack, zip(*map(rules.start, keys), strict=True))
        return State(start, physics.sense(start)), goal

    def step(state: State, action: np.ndarray) -> State:
        control = rules.control(state, np.clip(action, low, high))
        after, seen = rules.settle(physics.advance(state.physics, control))
        return State(after, physics.sense(seen))

    return Simulator(
        task=task,
        reset=reset,
        step=step,
        observe=rules.observe,
        draw=draw,
    )


def uniform(keys: np.ndarray, n: int) -> np.ndarray:
    """Return ``n`` uniform numbers in [0, 1), f64[N, n], for each of the keys u32[N, 2].

    A row follows from its key alone, and unlike a generator for each key this takes no time. The
    numbers are SplitMix64's (Steele et al. 2014), a counter that is mixed, begun at the mixed key.
    """
    seed = keys[:, 0].astype(np.uint64) << np.uint64(32) | keys[:, 1].astype(np.uint64)
    count = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mixed(_mixed(seed)[:, None] + count) >> np.uint64(11)) * 2.0**-53


def _mixed(x: np.ndarray) -> np.ndarray:
    """Return u64 whose every bit depends on all bits of x, one to one."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _only(rows: np.ndarray, run: Callable[..., np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """Return what ``run`` makes of these rows bool[N] of the inputs, and NaN for the others."""
    ran = run(*(x[rows] for x in inputs))
    whole = np.full((len(rows), *ran.shape[1:]), np.nan)
    whole[rows] = ran
    return whole


def _without(mujoco: Any, model: Any, features: str) -> Any:
    """Return a copy of the model with these features (names of ``mjtDisableBit``) off."""
    changed = copy.copy(model)
    for feature in features.split():
        changed.opt.disableflags |= getattr(mujoco.mjtDisableBit, f"mjDSBL_{feature}")
    return changed
