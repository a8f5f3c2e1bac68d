"""What a program calls: train, resume, evaluate, and the policies of runs."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hem.errors import require, within_memory
from hem.registry import EnvName
from hem.replay import buffer as ring
from hem.runs import trainer
from hem.runs.experiment import Experiment, experiment
from hem.runs.policy_file import load_policy
from hem.runs.run import Run
from hem.system.conversion import checked
from hem.system.signals import StoppedBySignalError, python_error
from hem.training import finite, metrics
from hem.training.evaluation import outcome, report
from hem.training.loop import TEST, rng_key
from hem.training.rollout import collector

AT_ONCE = 1000  # episodes of an evaluation, so that any number of them fits into memory


@checked
def train(
    env: EnvName,
    algo: str = "hem",
    strategy: str | None = None,
    run_dir: str | Path | None = None,
    quiet: bool = True,
    **settings: Any,
) -> Run:
    """Train and return the run.

    Args:
        env: an environment's name as in ``hem list``, a file's class as ``my_env.py:MyEnv``, or an
            id of Gymnasium.
        algo: an algorithm's name.
        strategy: a hindsight strategy's name; by default what suits the environment.
        run_dir: a new folder; by default one below ``runs/`` named by what is run and the time.
        quiet: show no progress.
        **settings: any setting of the environment, algorithm, strategy or run, such as
            ``bits=50, seed=3, env_steps=500_000``.

    Raises:
        UserError: bad input, in one line that says what to do.
        KeyboardInterrupt, SystemExit: a signal asked to stop, SIGINT or SIGTERM, and all is saved;
            in a thread other than the main one Python tells hem of no signal.
    """
    with new_run(experiment(env, algo, strategy, **settings), run_dir) as run:
        _train(run, quiet)
    return run


@contextmanager
def new_run(what: Experiment, run_dir: str | Path | None = None) -> Iterator[Run]:
    """A new run folder for an experiment, not yet trained, that nobody else may train meanwhile."""
    world, _ = what.build()
    ring.check_memory(world.task, what.run.capacity)
    folder = _default_folder(what) if run_dir is None else Path(run_dir)
    with Run.create(folder, what, world.task, numbered=run_dir is None) as run:
        yield run


@checked
def resume(
    run_dir: str | Path, env_steps: int | None = None, quiet: bool = True, trust: bool = False
) -> Run:
    """Go on with a run, exactly where its latest checkpoint is.

    Args:
        run_dir: the run's folder.
        env_steps: a new budget of environment steps in all; by default the one it has. What was
            evaluated at the end of the old budget stays: its policy may remain the best.
        quiet: show no progress.
        trust: run the code of an environment that the run's configuration names.

    Raises:
        UserError, KeyboardInterrupt, SystemExit: as from ``train``.
    """
    with Run.hold(Path(run_dir), trust) as run:
        run.extend(env_steps)
        _train(run, quiet)
    return run


@checked
@within_memory()
def evaluate(
    run_dir: str | Path, episodes: int = 100, seed: int = 0, trust: bool = False
) -> dict[str, Any]:
    """Evaluate a run's policy, greedily, on fresh episodes that training never saw.

    Args:
        run_dir: the run's folder.
        episodes: how many.
        seed: of the episodes; the same seed gives the same ones for every policy.
        trust: run the code of an environment that the run's configuration names.

    Returns:
        ``success_rate`` (at any step), ``final_success_rate`` (at the last step), ``ci95`` (of
        the first, Wilson), ``episodes``, ``ep_len_mean`` (steps to the first success).
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32), not {seed}")
    run = Run(Path(run_dir), trust)
    world, _ = run.experiment.build()
    loaded = load_policy(run_dir)
    loaded.require_fit(world.task)

    def act(keys: jax.Array, state: Any, obs: Any, goal: Any, explore: bool) -> jax.Array:
        return loaded.policy.greedy(state, obs, goal)

    at_once = min(episodes, AT_ONCE)
    collect = collector(world, act, at_once, explore=False, ends=False)
    # A stream of its own, so that the seed of a training run may be used again here.
    key = rng_key(seed, TEST)
    results = []
    for first in range(0, episodes, at_once):
        collected = collect(key, loaded.state, first)
        bad = finite.non_finite(collected, loaded.state, {})
        finite.check_evaluation(bad, world.task.name)
        results.append(outcome(world.task, collected))
    return report(jax.tree.map(lambda *parts: np.concatenate(parts)[:episodes], *results))


@checked
def read_metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``."""
    return metrics.read(Path(run_dir) / "metrics.jsonl")


def _train(run: Run, quiet: bool) -> None:
    try:
        trainer.train(run, quiet)
        return
    except StoppedBySignalError as stopped:
        number = stopped.number
    error = python_error(number)
    error.add_note(f"All is saved: hem.resume({str(run.folder)!r}) goes on")
    raise error


def _default_folder(what: Experiment) -> Path:
    moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    env = re.sub(r"[^\w.-]+", "-", what.env.rpartition("/")[2])
    return Path("runs") / f"{env}-{what.algo}-{what.run.seed}-{moment}"
