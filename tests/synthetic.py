"""Results of the paper's experiments as they might be, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hem.paper.experiment_file import names, read_named
from hem.paper.plan import plan
from hem.paper.records import SCHEMA, Group, Kept, Record

POINTS = 20
Final = Callable[[str, str, str, float | str | None], float]  # name, line, panel, x -> success


def run(seed: int, final: float, steps: float = 1000.0, spread: float = 0.004) -> Kept:
    """A curve that rises to about ``final``, like every other, and stays there."""
    end = np.clip(final + spread * (seed % 5 - 2), 0, 1)
    rise = np.linspace(0, 1, POINTS + 1)[1:]
    success = np.minimum(4 * rise, end)
    return Kept(
        seed=seed, versions=0, env_steps=(steps * rise).astype(int).tolist(),
        wall_s=(30 * rise).tolist(), eval_s=(10 * rise).tolist(), success=success.tolist(),
        final_success=(success / 2).tolist(),
    )  # fmt: skip


def record(name: str, final: Final, spread: Callable[[str], float] = lambda _: 0.004) -> Record:
    """What `hem paper NAME` would leave."""
    places = plan(read_named(name), "quick", Path("out"))
    groups: dict[tuple, Group] = {}
    for place in places:
        key = (place.panel, place.line, place.x)
        config = {"env": place.run.env, "run": {}}
        group = groups.setdefault(key, Group(*key, config, []))
        group.runs.append(
            run(place.seed, final(name, place.line, place.panel, place.x), 1000.0,
                spread(place.line))
        )  # fmt: skip
    versions = [{"jax": "0", "mujoco": "0"}]
    return Record(SCHEMA, name, "quick", len(places), versions, list(groups.values()))


def results(final: Final, spread: Callable[[str], float] = lambda _: 0.004) -> dict[str, Record]:
    """All experiments with runs."""
    return {name: record(name, final, spread) for name in names() if read_named(name).cases}
