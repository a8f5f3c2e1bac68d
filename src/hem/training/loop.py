"""The training loop: collect, add, E- and M-steps, evaluate (Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hem.errors import EnvError
from hem.system import collectives
from hem.training import finite
from hem.training.evaluation import outcome, rates
from hem.training.learning import COLLECT, EVALUATE, TrainState, make_learn, rng_key
from hem.training.offline import no_collector
from hem.training.rollout import Interrupted
from hem.training.schedule import Counters, RunConfig, is_due
from hem.training.workers import ONE, Workers
from hem.types import (
    Algorithm,
    BatchedEnv,
    Episodes,
    JaxEnv,
    Metrics,
)


class Step(NamedTuple):
    """The result of an iteration."""

    state: TrainState
    counters: Counters
    row: dict[str, Any]  # of the metrics file


StopAsked = Callable[[], bool]


def iterations(
    env: JaxEnv | BatchedEnv,
    algorithm: Algorithm,
    config: RunConfig,
    state: TrainState,
    counters: Counters,
    should_stop: StopAsked = lambda: False,
    row: dict[str, Any] | None = None,
    workers: Workers = ONE,
) -> Iterator[Step]:
    """Iterate until the budget is spent.

    A yielded state's arrays are donated to the next iteration: save or copy them before requesting
    it. Rows with an evaluation have ``eval/success_rate``.

    Args:
        env: the environment.
        algorithm: the algorithm.
        config: configuration of the loop.
        state: where to start or resume.
        counters: the state's counters.
        should_stop: called between the steps of a batched environment.
        row: the state's row. If its evaluation is still due, the state is first yielded once more,
            with the evaluation in its row.
        workers: the workers of the state; each has its share of episodes and batches.

    Raises:
        UserError: an array is not finite, or the environment failed; what was yielded is valid.
        Interrupted: ``should_stop`` was true in the middle of a simulation; likewise. If that was
            an evaluation, the iteration was yielded without it.
    """
    learn = _learning(env, algorithm, config, should_stop, workers)
    evaluate = _evaluation(env, algorithm, config, should_stop, workers)
    step = Step(state, counters, row or {})
    if is_due(step.counters, config):
        step = _evaluated(step, evaluate, config)
        yield step
    while config.progress(step.counters) < config.budget:
        step = learn(step)
        if is_due(step.counters, config):
            try:
                step = _evaluated(step, evaluate, config)
            except (EnvError, Interrupted):
                yield step  # what was learned is valid, and the previous state is gone
                raise
        yield step


def _learning(
    env: JaxEnv | BatchedEnv,
    algorithm: Algorithm,
    config: RunConfig,
    should_stop: StopAsked,
    workers: Workers,
) -> Callable[[Step], Step]:
    """The next iteration, still without an evaluation."""
    task = env.task
    count = 0 if config.offline is not None else config.episodes_per_iteration
    share = count // workers.count
    ends = task.terminates_on_success
    collect = (
        workers.collector(env, algorithm.act, share, True, ends, should_stop)
        if count
        else no_collector(task, workers)
    )
    learn = workers.map(
        make_learn(task, algorithm, config.updates_per_iteration, config.average_interval),
        donate_argnums=0,
    )
    key = rng_key(config.seed, COLLECT)

    def advance(step: Step) -> Step:
        done, start = step.counters, time.perf_counter()
        episodes = collect(
            key, step.state.agent_state, done.iteration * config.episodes_per_iteration
        )
        collected = _now(episodes)
        state, metrics, bad = learn(step.state, episodes)
        metrics, bad = workers.one((metrics, bad))
        learned = _now(metrics)
        finite.check(bad, task.name, done.iteration)
        counters = replace(
            done,
            iteration=done.iteration + 1,
            env_steps=done.env_steps + int(metrics.pop("steps")),
            episodes=done.episodes + count,
            updates=done.updates + config.updates_per_iteration,
            wall_s=done.wall_s + learned - start,
            collect_s=done.collect_s + collected - start,
            train_s=done.train_s + learned - collected,
        )
        if not count:
            metrics = {name: x for name, x in metrics.items() if not name.startswith("rollout/")}
        return Step(state, counters, _row(counters, metrics))

    return advance


def _evaluation(
    env: JaxEnv | BatchedEnv,
    algorithm: Algorithm,
    config: RunConfig,
    should_stop: StopAsked,
    workers: Workers,
) -> Callable[[Step], Metrics]:
    """Evaluate the policy of a step, on new episodes or always the same; never on training's."""
    share = -(-config.eval_episodes // workers.count)
    greedy = workers.collector(env, algorithm.act, share, False, False, should_stop)
    key = rng_key(config.seed, EVALUATE)

    def judge(episodes: Episodes) -> tuple[Metrics, dict[str, jax.Array]]:
        # Where they cannot be shared evenly, the last worker has some too many.
        numbers = collectives.index() * share + jnp.arange(share)
        length = jnp.where(numbers < config.eval_episodes, episodes.length, 0)
        result = outcome(env.task, episodes._replace(length=length))
        return rates(result), collectives.any_of(finite.non_finite(episodes, (), {}))

    judge_all = workers.map(judge)

    def evaluate(step: Step) -> Metrics:
        first = 0 if config.eval_fixed else step.counters.iteration * config.eval_episodes
        episodes = greedy(key, step.state.agent_state, first)
        metrics, bad = workers.one(judge_all(episodes))
        finite.check_episodes(bad, env.task.name)
        return metrics

    return evaluate


def _now(awaited: Any) -> float:
    jax.block_until_ready(awaited)
    return time.perf_counter()


def _evaluated(step: Step, evaluate: Callable[[Step], Metrics], config: RunConfig) -> Step:
    start, done = time.perf_counter(), step.counters
    metrics = evaluate(step)
    seconds = _now(metrics) - start
    counters = replace(
        done,
        wall_s=done.wall_s + seconds,
        eval_s=done.eval_s + seconds,
        evaluated=config.progress(done),
        best=max(done.best, float(metrics["eval/success_rate"])),
    )
    return Step(step.state, counters, step.row | _row(counters, metrics))


def _row(counters: Counters, metrics: Metrics) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in vars(counters).items()
        if name not in ("best", "evaluated")
    }
    return row | {name: float(value) for name, value in metrics.items()}
