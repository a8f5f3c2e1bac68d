"""How fast FetchReach-v4 is collected: with random actions, and whole episodes with a policy.

Against two marks: the rate of MuJoCo's bare ``mj_step`` on all cores, which is what the hardware
allows, and gymnasium-robotics in one process, which is what one would use otherwise. They are
measured in turns, since other jobs may share the machine; what counts is the median of the ratios
within a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import gymnasium_robotics
import jax
import mujoco
import numpy as np

from benchmarks import Figure
from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.simulator import usable_cores
from hem.experiment import experiment
from hem.loop import init_state
from hem.rollout import collector

EPISODES, STEPS = 64, 50
TURNS = 7
PEER_STEPS = 300  # enough for the peer, which is slow and steady


def measure() -> list[Figure]:
    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make(fetch_reach.NAME)
    start_state, _ = fetch.set_up(fetch.compile_fetch("reach.xml"), fetch_reach.BASE, 0.2)
    simulator = fetch_reach.make(fetch_reach.Config())
    marks: dict[str, Callable[[int], float]] = {
        "mj_step on all cores": lambda turn: _bare(env.unwrapped.model, start_state, turn),
        "gymnasium-robotics, one process": lambda turn: _gymnasium(env, turn),
    }
    ours = {
        "Fetch Reach, random actions": lambda turn: _collect(simulator, turn),
        "Fetch Reach, with its policy": _with_policy(),
    }
    races = marks | ours
    rates = {name: [] for name in races}
    for turn in range(TURNS + 1):
        for name, race in races.items():
            rates[name].append(race(turn))
    rates = {name: np.array(rate[1:]) for name, rate in rates.items()}  # the first was a warm-up
    return [
        Figure(
            name=name,
            value=float(np.median(rates[name])),
            unit="env steps/s",
            ratio=float(np.median(rates[name] / rates[mark])),
            against=f"{mark} ({np.median(rates[mark]):,.0f})",
        )
        for name in ours
        for mark in marks
    ]


def _with_policy() -> Callable[[int], float]:
    """Steps per second of whole exploring episodes, as training collects them at its beginning."""
    world, algorithm = experiment(fetch_reach.NAME).build()
    learner = init_state(world.task, algorithm, 0, 1).learner
    collect = collector(world, algorithm.act, EPISODES, explore=True, ends=False)

    def run(seed: int) -> float:
        start = time.perf_counter()
        collect(jax.random.key(seed), learner, 0)
        return EPISODES * STEPS / (time.perf_counter() - start)

    return run


def _collect(simulator: Any, seed: int) -> float:
    """Steps per second of our simulator."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(2**32, size=(EPISODES, 2), dtype=np.uint32)
    start = time.perf_counter()
    state, _ = simulator.reset(keys)
    simulator.observe(state)
    for _ in range(STEPS):
        state = simulator.step(state, rng.uniform(-1, 1, (EPISODES, 4)).astype(np.float32))
        simulator.observe(state)
    return EPISODES * STEPS / (time.perf_counter() - start)


def _bare(model: Any, start_state: np.ndarray, seed: int) -> float:
    """Steps per second of nothing but physics, in one thread per usable core."""
    cores = usable_cores()
    steps = EPISODES * STEPS // cores
    threads = [
        threading.Thread(target=_bare_steps, args=(model, start_state, [seed, core], steps))
        for core in range(cores)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return cores * steps / (time.perf_counter() - start)


def _bare_steps(model: Any, start_state: np.ndarray, seed: list[int], steps: int) -> None:
    data = mujoco.MjData(model)
    hand = model.body("robot0:gripper_link").id
    moves = fetch.MOVE * np.random.default_rng(seed).uniform(-1, 1, (steps, 3))
    for step, move in enumerate(moves):
        if step % STEPS == 0:
            mujoco.mj_setState(model, data, start_state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
            mujoco.mj_forward(model, data)
        data.mocap_pos[0] = data.xpos[hand] + move
        data.mocap_quat[0] = data.xquat[hand] + fetch.TURN
        mujoco.mj_step(model, data, nstep=fetch.SUBSTEPS)


def _gymnasium(env: gymnasium.Env, seed: int) -> float:
    """Steps per second of the peer."""
    actions = np.random.default_rng(seed).uniform(-1, 1, (PEER_STEPS, 4)).astype(np.float32)
    start = time.perf_counter()
    for step, action in enumerate(actions):
        if step % STEPS == 0:
            env.reset()
        env.step(action)
    return PEER_STEPS / (time.perf_counter() - start)
