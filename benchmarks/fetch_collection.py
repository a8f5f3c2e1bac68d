"""How fast FetchReach-v4 is collected with random actions, observations included.

Against two marks: the rate of MuJoCo's bare ``mj_step`` on all cores, which is what the hardware
allows, and gymnasium-robotics in one process, which is what one would use otherwise. The three are
measured in turns, since other jobs may share the machine; what counts is the median of the ratios
within a turn. Run as a script, it prints a table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np

from hem.envs.mujoco import fetch, fetch_reach
from hem.envs.mujoco.simulator import usable_cores

EPISODES, STEPS = 64, 50
TURNS = 7
PEER_STEPS = 300  # enough for the peer, which is slow and steady


def measure() -> list[dict]:
    """Measure all three.

    Returns:
        A record each with ``name``, ``value`` in ``unit``, and its ``ratio`` to the record named
        ``against`` (None where there is nothing to compare with).
    """
    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make(fetch_reach.NAME)
    start_state, _ = fetch.set_up(fetch.compile_fetch("reach.xml"), fetch_reach.BASE, 0.2)
    simulator = fetch_reach.make(fetch_reach.Config())
    races: dict[str, Callable[[int], float]] = {
        "mj_step": lambda turn: _bare(env.unwrapped.model, start_state, turn),
        "gymnasium-robotics, one process": lambda turn: _gymnasium(env, turn),
        "hem": lambda turn: _collect(simulator, turn),
    }
    rates = {name: [] for name in races}
    for turn in range(TURNS + 1):
        for name, race in races.items():
            rates[name].append(race(turn))
    rates = {name: np.array(rate[1:]) for name, rate in rates.items()}  # the first was a warm-up
    records = [_record(name, rates, None) for name in races if name != "hem"]
    return records + [_record("hem", rates, record["name"]) for record in records]


def _record(name: str, rates: dict[str, np.ndarray], against: str | None) -> dict:
    ratio = None if against is None else float(np.median(rates[name] / rates[against]))
    value = float(np.median(rates[name]))
    return {"name": name, "value": value, "unit": "steps/s", "ratio": ratio, "against": against}


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


if __name__ == "__main__":
    for record in measure():
        line = f"{record['name']:34}{record['value']:8.0f} {record['unit']}"
        if record["against"]:
            line += f"   {record['ratio']:.2f} times {record['against']}"
        print(line)
