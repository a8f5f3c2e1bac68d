"""How fast each simulated task is collected: with random actions, and whole episodes with a policy.

Against MuJoCo's bare ``mj_step``, called from C++ on all cores and with the very controls of our
random actions, which is what the hardware allows; and against what one would use otherwise.
"""

from __future__ import annotations

import jax
import mujoco.rollout
import numpy as np

from benchmarks import Figure, Runner, compared, rates
from benchmarks._peers import peers
from benchmarks._tasks import Inside, drawn, names, take_apart, trail
from hem.system.subprocesses import usable_cores
from hem.training.learning import init_state
from hem.training.rollout import collector

EPISODES, STEPS = 64, 50
TURNS = 7


def measure() -> list[Figure]:
    return [figure for env in names() for figure in _task(env)]


def _task(env: str) -> list[Figure]:
    inside = take_apart(env, horizon=STEPS)
    keys, actions = drawn(inside, EPISODES, STEPS)
    ours = {
        "random actions": _random(inside, keys, actions),
        "its policy": _with_policy(inside),
    }
    marks = {
        "mj_step on all cores": _bare(inside, *trail(inside, keys, actions)),
        **peers(env, EPISODES, STEPS),
    }
    measured = rates(ours | marks, TURNS)
    return [
        compared(f"{env}, {name}", "env steps/s", measured[name], mark, measured[mark])
        for name in ours
        for mark in marks
    ]


def _random(inside: Inside, keys: np.ndarray, actions: np.ndarray) -> Runner:
    batched_env = inside.batched_env

    def run() -> None:
        state, _ = batched_env.reset(keys)
        batched_env.observe(state)
        for action in actions:
            state = batched_env.step(state, action)
            batched_env.observe(state)

    return Runner(run, EPISODES * STEPS)


def _with_policy(inside: Inside) -> Runner:
    """Whole exploring episodes, as training collects them at its beginning."""
    agent_state = init_state(inside.batched_env.task, inside.algorithm, 0, 1).agent_state
    collect = collector(
        inside.batched_env, inside.algorithm.act, EPISODES, explore=True, ends=False
    )
    key = jax.random.key(0)
    return Runner(lambda: collect(key, agent_state, 0), EPISODES * STEPS)


def _bare(inside: Inside, states: np.ndarray, controls: np.ndarray) -> Runner:
    """Nothing but physics, from the same starts and with the same controls."""
    model, substeps = inside.physics._dynamics, inside.physics.substeps
    cores = usable_cores()
    data = [mujoco.MjData(model) for _ in range(cores)]
    pool = mujoco.rollout.Rollout(nthread=cores if cores > 1 else 0)
    start = np.ascontiguousarray(states[:, 0])
    held = np.repeat(controls, substeps, axis=1)

    def run() -> None:
        pool.rollout(
            [model] * EPISODES,
            data,
            start,
            held,
            control_spec=inside.physics._control_spec,
            nstep=STEPS * substeps,
            skip_checks=True,  # they would allocate outputs that nobody wants
            chunk_size=1,
        )

    return Runner(run, EPISODES * STEPS)
