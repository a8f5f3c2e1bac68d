"""How fast the first 300 updates of a run are, against those that follow later in the same run.

The first iteration is left out, as all is compiled in it; nothing may be compiled again after it.
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks import Figure, compared
from hem.runs.experiment import experiment
from hem.training.loop import Counters, init_state, iterations

TASKS = (("hem", "FetchReach-v4"), ("her", "FetchPush-v4"))
EARLY, LATE = 3, 9  # iterations of 100 updates
FOREVER = 10**9


def measure() -> list[Figure]:
    return [_figure(algorithm, env) for algorithm, env in TASKS]


def _figure(algo: str, env: str) -> Figure:
    what = experiment(env, algo, updates=100, env_steps=FOREVER, eval_interval=FOREVER)
    world, algorithm = what.build()
    state = init_state(world.task, algorithm, 0, what.run.capacity)
    steps = itertools.islice(
        iterations(world, algorithm, what.run, state, Counters()), 1 + EARLY + LATE
    )
    seconds = np.diff([step.counters.train_s for step in steps])
    early = EARLY * what.run.updates / seconds[:EARLY].sum(keepdims=True)
    late = LATE * what.run.updates / seconds[EARLY:].sum(keepdims=True)
    name = f"the first {EARLY * what.run.updates} updates of {algo}, {env}"
    return compared(name, "updates/s", early, "later", late)
