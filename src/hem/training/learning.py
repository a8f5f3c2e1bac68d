"""The state of a run, and the learning half of an iteration.

Both are pure, so that they can be mapped over devices and over seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hem.replay import buffer as ring
from hem.system import collectives
from hem.training import finite
from hem.training.evaluation import mean_of_kept, outcome
from hem.training.update import make_update
from hem.types import Algorithm, Array, Episodes, Metrics, Ratio, Task

INIT, COLLECT, LEARN, EVALUATE, TEST, RECORD = range(6)  # the purposes of random streams


class TrainState(NamedTuple):
    """All arrays that the next iteration depends on."""

    seed: Array  # u32
    iteration: Array  # i32
    agent_state: Any  # S of the algorithm
    replay: ring.Replay


Learn = Callable[[TrainState, Episodes], tuple[TrainState, Metrics, dict[str, jax.Array]]]


def rng_key(seed: Array | int, purpose: int) -> jax.Array:
    """The key of an independent random stream of a run."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def init_state(
    task: Task, algorithm: Algorithm, seed: Array | int, capacity: int, keeps: bool = False
) -> TrainState:
    """The state of a run before its first iteration; pure in ``seed``.

    With ``keeps``, its replay buffer may begin with demonstrations.
    """
    agent_state = algorithm.init(rng_key(seed, INIT))
    return TrainState(
        seed=jnp.asarray(seed, jnp.uint32),
        iteration=jnp.int32(0),
        # Learning returns strong types: weak ones would make the first iterations recompile.
        agent_state=jax.tree.map(lambda x: jnp.asarray(x, x.dtype), agent_state),
        replay=ring.init(task, capacity, keeps),
    )


def make_learn(task: Task, algorithm: Algorithm, updates: int, average_interval: int = 1) -> Learn:
    """The learning half of an iteration: add to the replay, then update; arguments as there."""
    update = make_update(algorithm, updates, average_interval)

    def learn(
        state: TrainState, episodes: Episodes
    ) -> tuple[TrainState, Metrics, dict[str, jax.Array]]:
        replay = ring.add(state.replay, episodes)
        key = jax.random.fold_in(rng_key(state.seed, LEARN), state.iteration)
        agent_state, means = update(key, state.agent_state, replay, episodes)
        means = {f"train/{name}": mean for name, mean in means.items()}
        both = {name: jnp.asarray(mean) for name, mean in means.items()}  # parts of a ratio
        bad = collectives.any_of(finite.non_finite(episodes, agent_state, both))
        metrics = {name: _value(mean) for name, mean in means.items()}
        result = outcome(task, episodes)
        metrics |= {
            "rollout/success_rate": mean_of_kept(result.success, result),
            "rollout/failure_rate": mean_of_kept(episodes.failed, result),
            "rollout/ep_len_mean": mean_of_kept(episodes.length, result),
            "rollout/dropped": collectives.total(jnp.sum(jnp.asarray(episodes.length) == 0)),
            "steps": collectives.total(jnp.sum(episodes.length)),
        }
        new_state = state._replace(
            iteration=state.iteration + 1, agent_state=agent_state, replay=replay
        )
        return new_state, metrics, bad

    return learn


def _value(mean: jax.Array | Ratio) -> jax.Array:
    """The value of a metric; NaN, which is left out of the record, for a ratio of 0 to 0."""
    if not isinstance(mean, Ratio):
        return mean
    undefined = mean.denominator == 0
    return jnp.where(undefined, jnp.nan, mean.numerator / jnp.where(undefined, 1, mean.denominator))
