"""The loop, and nothing but the loop: collect, add, E- and M-steps, evaluate (Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hem import health, settings
from hem import replay as ring
from hem.compilation import jit
from hem.errors import WorldError, require
from hem.evaluation import mean_of_kept, outcome, rates
from hem.reading import Count, Seconds
from hem.rollout import Interrupted, collector
from hem.types import Algorithm, Array, Episodes, Metrics, Simulator, Task, World

INIT, COLLECT, LEARN, EVALUATE, TEST = range(5)  # what a stream of randomness is for


@dataclass(frozen=True)
class RunConfig:
    """The loop around any algorithm in any environment."""

    seed: int = 0
    """Everything random in the run follows from it."""
    env_steps: int = 200_000
    """Stop after this many environment steps."""
    episodes: int = 16
    """Episodes collected in an iteration, all at once (the paper's N)."""
    updates: int = 100
    """M-step updates in an iteration."""
    capacity: int = 2_000
    """Episodes that the replay holds."""
    eval_every: int = 20_000
    """Environment steps between evaluations; each one also saves a checkpoint."""
    eval_episodes: int = 100
    """Greedy episodes in an evaluation."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed must be in [0, 2^32), not {self.seed}")
        counts = ("env_steps", "episodes", "updates", "eval_every", "eval_episodes")
        settings.at_least(1, self, *counts)
        require(
            self.capacity >= self.episodes,
            f"capacity ({self.capacity}) must not be less than episodes ({self.episodes}): the "
            "replay has to hold what an iteration collects",
        )


class TrainState(NamedTuple):
    """All arrays that the next iteration depends on."""

    seed: Array  # u32
    iteration: Array  # i32
    learner: Any  # S of the algorithm
    replay: ring.Replay


@dataclass(frozen=True)
class Counters:
    """What has been done so far; kept on the host, where integers do not overflow."""

    iteration: Count = 0
    env_steps: Count = 0
    episodes: Count = 0
    updates: Count = 0
    wall_s: Seconds = 0.0
    collect_s: Seconds = 0.0
    train_s: Seconds = 0.0
    best: float = -1.0  # evaluation success


class Step(NamedTuple):
    """The result of an iteration."""

    state: TrainState
    counters: Counters
    row: dict[str, Any]  # of the metrics file


Learn = Callable[[TrainState, Episodes], tuple[TrainState, Metrics, dict[str, jax.Array]]]


def stream(seed: Array | int, purpose: int) -> jax.Array:
    """The key of an independent stream of randomness of a run."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def init_state(task: Task, algorithm: Algorithm, seed: Array | int, capacity: int) -> TrainState:
    """A run before its first iteration; pure in ``seed``."""
    learner = algorithm.init(stream(seed, INIT))
    return TrainState(
        seed=jnp.asarray(seed, jnp.uint32),
        iteration=jnp.int32(0),
        # Learning returns strong types: from weak ones the first iterations compile all anew.
        learner=jax.tree.map(lambda x: jnp.asarray(x, x.dtype), learner),
        replay=ring.init(task, capacity),
    )


def make_learn(task: Task, algorithm: Algorithm, updates: int) -> Learn:
    """The learning half of an iteration: replay, statistics, and all M-steps as one scan."""

    def learn(
        state: TrainState, episodes: Episodes
    ) -> tuple[TrainState, Metrics, dict[str, jax.Array]]:
        replay = ring.add(state.replay, episodes)
        learner = algorithm.observe(state.learner, episodes)

        def update(learner: Any, key: jax.Array) -> tuple[Any, Metrics]:
            e_key, m_key = jax.random.split(key)
            return algorithm.m_step(m_key, learner, algorithm.e_step(e_key, learner, replay))

        key = jax.random.fold_in(stream(state.seed, LEARN), state.iteration)
        learner, history = jax.lax.scan(update, learner, jax.random.split(key, updates))
        metrics = {f"train/{name}": jnp.mean(values) for name, values in history.items()}
        bad = health.non_finite(episodes, learner, metrics)
        result = outcome(task, episodes)
        metrics |= {
            "rollout/success_rate": mean_of_kept(result.success, result),
            "rollout/failure_rate": mean_of_kept(episodes.failed, result),
            "rollout/ep_len_mean": mean_of_kept(episodes.length, result),
            "rollout/dropped": jnp.sum(jnp.asarray(episodes.length) == 0),
            "steps": jnp.sum(episodes.length),
        }
        new_state = state._replace(iteration=state.iteration + 1, learner=learner, replay=replay)
        return new_state, metrics, bad

    return learn


def iterations(
    world: World | Simulator,
    algorithm: Algorithm,
    config: RunConfig,
    state: TrainState,
    counters: Counters,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Step]:
    """Iterate until the budget of environment steps is spent.

    A yielded state's arrays are given up to the next iteration: save or copy them before asking
    for it. Rows with an evaluation have ``eval/success_rate``.

    Raises:
        UserError: an array is not finite, or the world failed; the states yielded before are good.
        Interrupted: ``should_stop`` said so in the middle of a simulation; likewise. If that was an
            evaluation, the iteration was yielded without it.
    """
    task = world.task
    collect = collector(
        world, algorithm.act, config.episodes, True, task.terminates_on_success, should_stop
    )
    judge = _evaluation(world, algorithm, config.eval_episodes, should_stop)
    learn = jit(make_learn(task, algorithm, config.updates), donate_argnums=0)
    collect_stream = stream(config.seed, COLLECT)

    while counters.env_steps < config.env_steps:
        clock = [time.perf_counter()]
        episodes = collect(collect_stream, state.learner, counters.iteration * config.episodes)
        clock.append(_now(episodes))
        state, metrics, bad = learn(state, episodes)
        clock.append(_now(metrics))
        health.check(bad, task.name, counters.iteration)

        steps = counters.env_steps + int(metrics.pop("steps"))
        due = steps // config.eval_every > counters.env_steps // config.eval_every
        given_up = None
        if due or steps >= config.env_steps:
            try:
                metrics |= judge(state)
            except (WorldError, Interrupted) as error:
                given_up = error  # what was learnt is good, and the state before is gone
        clock.append(_now(metrics))
        counters = _advanced(counters, config, steps, clock, metrics)
        yield Step(state, counters, _row(counters, metrics))
        if given_up is not None:
            raise given_up


def _evaluation(
    world: World | Simulator, algorithm: Algorithm, episodes: int, should_stop: Callable[[], bool]
) -> Callable[[TrainState], Metrics]:
    """Evaluate the learner of a state on episodes that no other evaluation has seen."""
    greedy = collector(world, algorithm.act, episodes, False, False, should_stop)

    @jit
    def judge(episodes: Episodes) -> tuple[Metrics, dict[str, jax.Array]]:
        return rates(outcome(world.task, episodes)), health.non_finite(episodes, (), {})

    def evaluate(state: TrainState) -> Metrics:
        first = int(state.iteration) * episodes
        metrics, bad = judge(greedy(stream(state.seed, EVALUATE), state.learner, first))
        health.check_evaluation(bad, world.task.name)
        return metrics

    return evaluate


def _now(awaited: Any) -> float:
    jax.block_until_ready(awaited)
    return time.perf_counter()


def _advanced(
    counters: Counters, config: RunConfig, steps: int, clock: list[float], metrics: Metrics
) -> Counters:
    start, collected, learnt, end = clock
    return replace(
        counters,
        iteration=counters.iteration + 1,
        env_steps=steps,
        episodes=counters.episodes + config.episodes,
        updates=counters.updates + config.updates,
        wall_s=counters.wall_s + end - start,
        collect_s=counters.collect_s + collected - start,
        train_s=counters.train_s + learnt - collected,
        best=max(counters.best, float(metrics.get("eval/success_rate", -1.0))),
    )


def _row(counters: Counters, metrics: Metrics) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in vars(counters).items()
        if name != "best"
    }
    return row | {name: float(value) for name, value in metrics.items()}
