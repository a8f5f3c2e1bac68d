"""FlipBit and Navigation, all on one device, against the number of parallel episodes.

Collection with the policy, and whole iterations: collection and as many M-steps, each on a batch
as large as the number of episodes. The limit is the roofline of the device: the time in which
it can multiply and move what must at least be multiplied and moved, at rates measured in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import Figure, best_seconds
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state, make_learn
from hem.training.rollout import collector
from hem.types import Discrete, Task

HIDDEN = (256, 256)
TASKS: dict[str, dict[str, int]] = {"FlipBit": {"bits": 50}, "Navigation": {"dim": 10}}
PARALLEL = {"cpu": (1, 4, 16, 64, 256, 1024, 4096), "gpu": (64, 1024, 4096, 16384, 65536, 262144)}
LARGEST = {"cpu": 1024, "gpu": 65536}  # batch of an M-step
UPDATES = 50  # of an iteration
SQUARE = {"cpu": 2048, "gpu": 8192}  # of the matrix product
MOVED = {"cpu": 2**26, "gpu": 2**30}  # bytes


class Limit(NamedTuple):
    """What is run in turn with what is measured, and what it gets done."""

    run: Callable[[], object]
    amount: float  # FLOP, or bytes read and written


class Work(NamedTuple):
    """The least that a part of training needs."""

    flop: float
    moved: float  # bytes read and written


def measure() -> list[Figure]:
    backend = jax.default_backend()
    return [
        figure
        for env, settings in TASKS.items()
        for n in PARALLEL[backend]
        for figure in _figures(env, settings, n, min(n, LARGEST[backend]), _limits(backend))
    ]


def _figures(
    name: str, settings: dict[str, int], n: int, batch: int, limits: list[Limit]
) -> Iterator[Figure]:
    experiment = make_experiment(name, hidden_dims=HIDDEN, batch_size=batch, **settings)
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, n)
    collect = collector(env, algorithm.act, n, explore=True, ends=False)
    learn = jax.jit(make_learn(env.task, algorithm, UPDATES))
    key = jax.random.key(0)
    episodes = collect(key, state.agent_state, 0)
    collect_s, learn_s, *limit_s = best_seconds(
        lambda: jax.block_until_ready(collect(key, state.agent_state, 0)),
        lambda: jax.block_until_ready(learn(state, episodes)),
        *(limit.run for limit in limits),
    )
    flops, bandwidth = (limit.amount / s for limit, s in zip(limits, limit_s, strict=True))
    steps = n * env.task.horizon
    macs = _multiplications(env.task)
    collection = Work(2 * sum(macs) * steps, sum(x.nbytes for x in jax.tree.leaves(episodes)))
    # Backward twice that, less the gradient of the inputs. Parameters stay in caches.
    updates = Work(2 * (3 * sum(macs) - macs[0]) * batch * UPDATES, 0)
    both = Work(collection.flop + updates.flop, collection.moved)
    for part, amount, unit, work, seconds in (
        ("collection", steps, "env steps/s", collection, collect_s),
        (f"learning, batch {batch}", UPDATES, "updates/s", updates, learn_s),
        ("training", steps, "env steps/s", both, collect_s + learn_s),
    ):
        yield Figure(
            name=f"{name}, {n} episodes: {part}",
            value=amount / seconds,
            unit=unit,
            ratio=max(work.flop / flops, work.moved / bandwidth) / seconds,
            against=f"roofline ({flops / 1e12:.3g} TFLOP/s, {bandwidth / 1e9:,.0f} GB/s)",
        )


def _limits(backend: str) -> list[Limit]:
    square = jnp.ones((SQUARE[backend], SQUARE[backend]))
    vector = jnp.ones(MOVED[backend] // 4)
    product, increment = jax.jit(lambda a: a @ a), jax.jit(lambda x: x + 1)
    return [
        Limit(lambda: jax.block_until_ready(product(square)), 2 * SQUARE[backend] ** 3),
        Limit(lambda: jax.block_until_ready(increment(vector)), 2 * MOVED[backend]),
    ]


def _multiplications(task: Task) -> list[int]:
    """Multiplications of each layer of the policy, for one state and goal."""
    inputs = task.obs_shape[0] + task.goal_shape[0]
    outputs = task.action.n if isinstance(task.action, Discrete) else task.action.shape[0]
    return [a * b for a, b in itertools.pairwise((inputs, *HIDDEN, outputs))]
