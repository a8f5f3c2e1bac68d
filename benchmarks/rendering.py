"""How fast observations are drawn, by one process and by as many as there are cores."""

from __future__ import annotations

from benchmarks import Figure, Runner, compared, rates
from benchmarks._tasks import drawn, names, take_apart, trail
from hem.envs.mujoco.engine.render_pool import render_pool
from hem.system.subprocesses import usable_cores

SIZE = 48
EPISODES, STEPS = 16, 10
TURNS = 9
WANTED = {"FetchReach-v4": 350}  # images a second of one process


def measure() -> list[Figure]:
    return [figure for env in names() for figure in _task(env)]


def _task(env: str) -> list[Figure]:
    inside = take_apart(env, obs="image", image_size=SIZE)
    assert inside.eye is not None
    states, _ = trail(inside, *drawn(inside, EPISODES, STEPS))
    states = states.reshape(EPISODES * STEPS, -1)
    one, each = render_pool(*inside.eye, 1), render_pool(*inside.eye, usable_cores())
    measured = rates(
        {
            "one": Runner(lambda: one(states), len(states)),
            "all": Runner(lambda: each(states), len(states)),
        },
        TURNS,
    )
    name = f"{env} {SIZE}x{SIZE} images"
    line = compared(
        f"{name}, {usable_cores()} processes",
        "1/s",
        measured["all"],
        "one process",
        measured["one"],
    )
    alone = compared(f"{name}, one process", "1/s", measured["one"], "", measured["one"])
    if wanted := WANTED.get(env):
        alone |= {"ratio": alone["value"] / wanted, "against": f"wanted {wanted}"}
    else:
        alone |= {"ratio": None, "against": ""}
    return [alone, line]
