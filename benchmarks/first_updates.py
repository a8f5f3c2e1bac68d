"""How fast the first 300 updates of a run are, against those that follow later in the same run.

The first iteration is left out, as all is compiled in it; nothing may be compiled again after it.
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks import Figure, compared
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations

TASKS = (("hem", "FetchReach-v4"), ("her", "FetchPush-v4"))
EARLY, LATE = 3, 9  # iterations of 100 updates
FOREVER = 10**9


def measure() -> list[Figure]:
    return [_figure(algorithm, env) for algorithm, env in TASKS]


def _figure(algo: str, env: str) -> Figure:
    experiment = make_experiment(
        env, algo, updates_per_iteration=100, env_steps=FOREVER, eval_interval=FOREVER
    )
    built, algorithm = experiment.build()
    state = init_state(built.task, algorithm, 0, experiment.run.buffer_episodes)
    steps = itertools.islice(
        iterations(built, algorithm, experiment.run, state, Counters()), 1 + EARLY + LATE
    )
    seconds = np.diff([step.counters.train_s for step in steps])
    early = EARLY * experiment.run.updates_per_iteration / seconds[:EARLY].sum(keepdims=True)
    late = LATE * experiment.run.updates_per_iteration / seconds[EARLY:].sum(keepdims=True)
    name = f"the first {EARLY * experiment.run.updates_per_iteration} updates of {algo}, {env}"
    return compared(name, "updates/s", early, "later", late)
