"""Several seeds at once: whole iterations of a JAX environment, compiled and vectorized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import require, within_memory
from hem.replay import buffer as ring
from hem.runs.experiment import Experiment, make_experiment
from hem.system.compile_cache import jit
from hem.system.conversion import checked
from hem.training import finite
from hem.training.evaluation import outcome, rates
from hem.training.learning import COLLECT, EVALUATE, TrainState, init_state, make_learn, rng_key
from hem.training.rollout import scan_collector
from hem.types import Algorithm, JaxEnv, Metrics


class SeedCurves(NamedTuple):
    """Results of S seeds at E evaluations each."""

    seeds: np.ndarray  # i64[S]
    env_steps: np.ndarray  # i64[S, E]
    success_rate: np.ndarray  # f32[S, E]
    agent_state: Any  # the algorithm's state, each array with leading dimension S


@checked
@within_memory()
def train_seeds(
    env: Any,
    seeds: Sequence[int],
    algo: Any = None,
    strategy: Any = None,
    **settings: Any,
) -> SeedCurves:
    """Train ``seeds`` side by side until each has used up its budget of environment steps.

    For studies of learning curves; no run folder is written. Each seed computes what its own run
    would, up to the rounding of batched matrix products.

    Args:
        env: an environment written in JAX, or its name.
        seeds: one run each.
        algo: as for ``hem.train``.
        strategy: likewise.
        **settings: as for ``hem.train``.

    Raises:
        UserError: bad input, an environment not written in JAX, or a seed that diverges.
    """
    require(len(seeds) >= 1, "give at least one seed")
    require("seed" not in settings, "use seeds instead of seed")
    require(all(0 <= seed < 2**32 for seed in seeds), "seeds must be in [0, 2^32)")
    experiment = make_experiment(env, algo, strategy, **settings)
    built, algorithm = experiment.build()
    name = built.task.name
    require(isinstance(built, JaxEnv), f"{name} is not written in JAX: train its seeds one by one")
    assert isinstance(built, JaxEnv)
    run = experiment.run
    require(run.workers == 1, "seeds are trained side by side by one worker: leave out workers")
    require(run.demos is None and run.offline is None, "train with data one seed at a time")
    ring.check_memory(built.task, len(seeds) * run.buffer_episodes)
    begin = jax.vmap(lambda seed: init_state(built.task, algorithm, seed, run.buffer_episodes))
    state = jit(begin)(jnp.array(seeds, jnp.uint32))
    # At least one evaluation per eval_interval steps, whatever the episode lengths.
    period = max(1, run.eval_interval // (run.episodes_per_iteration * built.task.horizon))
    advance = jit(jax.vmap(_epoch(experiment, built, algorithm, period)), donate_argnums=0)
    taken = np.zeros(len(seeds), np.int64)
    steps, success = [], []
    while taken.min() < run.env_steps:
        state, more, measured, bad = advance(state)
        finite.check_seeds(bad, built.task.name, seeds, len(steps) * period)
        taken = taken + np.asarray(more)
        steps.append(taken)
        success.append(np.asarray(measured["eval/success_rate"]))
    return SeedCurves(
        np.array(seeds), np.stack(steps, axis=1), np.stack(success, axis=1), state.agent_state
    )


def _epoch(
    experiment: Experiment, built: JaxEnv, algorithm: Algorithm, period: int
) -> Callable[[TrainState], tuple[TrainState, jax.Array, Metrics, dict[str, jax.Array]]]:
    """``period`` iterations of one seed and an evaluation, as one pure function.

    It returns the state, the steps taken, the evaluation's rates and, for each array and
    iteration, whether it was not finite; the evaluation counts as part of the last iteration.
    """
    run = experiment.run
    ends = built.task.terminates_on_success
    collect = scan_collector(
        built, algorithm.act, run.episodes_per_iteration, explore=True, ends=ends
    )
    greedy = scan_collector(built, algorithm.act, run.eval_episodes, explore=False, ends=False)
    learn = make_learn(built.task, algorithm, run.updates_per_iteration)

    def iteration(state: TrainState, nothing: Any) -> tuple[TrainState, tuple]:
        key = rng_key(state.seed, COLLECT)
        episodes = collect(key, state.agent_state, state.iteration * run.episodes_per_iteration)
        state, metrics, bad = learn(state, episodes)
        return state, (metrics["steps"], bad)

    def epoch(state: TrainState) -> tuple:
        state, (steps, bad) = jax.lax.scan(iteration, state, length=period)
        key = rng_key(state.seed, EVALUATE)
        first = 0 if run.eval_fixed else state.iteration * run.eval_episodes
        episodes = greedy(key, state.agent_state, first)
        for name, is_bad in finite.non_finite(episodes, (), {}).items():
            bad[name] = bad[name].at[-1].set(bad[name][-1] | is_bad)
        return state, jnp.sum(steps), rates(outcome(built.task, episodes)), bad

    return epoch
