"""The Python API: train, resume, evaluate, and read the metrics of runs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hem.errors import require, within_memory
from hem.replay import buffer as ring
from hem.runs import cluster, launch
from hem.runs.experiment import NONE as NO_OBJECTS
from hem.runs.experiment import Experiment, make_experiment, short_name
from hem.runs.policy_episodes import policy_episodes
from hem.runs.run import Run, new_config
from hem.runs.session import Session, callbacks_of
from hem.system.conversion import checked
from hem.system.signals import StoppedBySignalError, python_error
from hem.training import metrics
from hem.training.evaluation import outcome, report


@checked
def train(
    env: Any,
    algo: Any = None,
    strategy: Any = None,
    run_dir: str | Path | None = None,
    quiet: bool = True,
    callback: Any = None,
    until: float | None = None,
    max_time: float | None = None,
    **settings: Any,
) -> Run:
    """Train a policy and return its run.

    Args:
        env: an environment's name from ``hem list``, a class in a file such as
            ``my_env.py:MyEnv``, or a Gymnasium ID. Or an environment itself: a Gymnasium class, a
            function that returns one, an instance, a ``JaxEnv`` or ``BatchedEnv``, or an object
            with ``NAME``, ``Config`` and ``make``.
        algo: an algorithm's name, or an object with ``NAME``, ``Config`` and ``make``; by default
            one that suits the environment, which is ``hem`` where nothing better is known.
        strategy: a hindsight strategy's name, a function, or an object like that; by default
            likewise.
        run_dir: a new folder; by default one in ``runs/``, named after the experiment and the time.
        quiet: do not show progress.
        callback: a function, or a list of functions, called with an ``Iteration`` (counters and
            metrics) after each iteration. Returning False stops, as in Stable-Baselines3; None
            continues, so that a callback which only watches needs no return.
        until: stop when two evaluations in a row reach this success rate.
        max_time: stop after this many seconds, once the iteration in progress is complete.
        **settings: any setting of the environment, algorithm, strategy or run, such as
            ``bits=50, seed=3, env_steps=500_000``.

    Raises:
        UserError: bad input; the message is one line that says what to do.
        KeyboardInterrupt, SystemExit: stopped by SIGINT or SIGTERM, with everything saved. Outside
            the main thread, Python delivers no signals to hem.
        Exception: what a callback raised, with everything saved.
    """
    session = Session(until, max_time, callbacks_of(callback))
    with new_run(make_experiment(env, algo, strategy, **settings), run_dir) as run:
        _train(run, quiet, session)
    return run


@contextmanager
def new_run(experiment: Experiment, run_dir: str | Path | None = None) -> Iterator[Run]:
    """Create and lock a run folder for an experiment; nothing is trained yet.

    Among the processes of a launcher, the first one does that for all.
    """
    place = cluster.place(experiment.run.workers)
    cluster.spare_devices(place)
    env, _ = experiment.build()
    ring.check_memory(env.task, experiment.run.buffer_episodes)
    require(
        place == cluster.ALONE or run_dir is not None,
        "give --run-dir: one folder for all processes",
    )
    folder = _default_folder(experiment) if run_dir is None else Path(run_dir)
    if place.rank > 0:
        yield Run.joined(folder, new_config(experiment, env.task), experiment.objects)
        return
    with Run.create(folder, experiment, env.task, numbered=run_dir is None) as run:
        yield run


@checked
def resume(
    run_dir: str | Path,
    env_steps: int | None = None,
    workers: int | None = None,
    quiet: bool = True,
    trust: bool = False,
    callback: Any = None,
    until: float | None = None,
    max_time: float | None = None,
    env: Any = None,
    algo: Any = None,
    strategy: Any = None,
    updates: int | None = None,
) -> Run:
    """Resume a run exactly from its latest checkpoint.

    Args:
        run_dir: the run's folder.
        env_steps: a new total budget of environment steps; by default unchanged. The evaluation at
            the end of the old budget still counts: its policy may remain the best.
        workers: a new number of workers; the replay buffer is redistributed among them.
        quiet: do not show progress.
        trust: allow environment code that the run's configuration names.
        callback: as in ``train``, and so are the others. Those of the first session do not apply.
        until: evaluations of earlier sessions count.
        max_time: seconds of this session.
        env: an object in place of the environment that the run names; needed if it was trained on
            one that no name finds, such as a lambda, or a class of a script.
        algo: likewise.
        strategy: likewise.
        updates: a new total budget of updates, of a run that learns offline.

    Raises:
        UserError, KeyboardInterrupt, SystemExit, Exception: as in ``train``.
    """
    session = Session(until, max_time, callbacks_of(callback))
    objects = {"env": env, "algo": algo, "strategy": strategy}
    with held_run(Path(run_dir), env_steps, workers, trust, objects, updates) as run:
        _train(run, quiet, session)
    return run


@contextmanager
def held_run(
    folder: Path,
    env_steps: int | None,
    workers: int | None,
    trust: bool,
    objects: Any = NO_OBJECTS,
    updates: int | None = None,
) -> Iterator[Run]:
    """Open and lock a run to resume it, as in ``resume``.

    Among the processes of a launcher, the first one locks it for all.
    """
    run = Run(folder, trust, objects)
    place = cluster.place(workers or run.experiment.run.workers)
    cluster.spare_devices(place)
    if place.rank > 0:
        run.extend(env_steps, workers, updates)
        yield run
        return
    with Run.hold(folder, trust, objects) as held:
        held.extend(env_steps, workers, updates)
        yield held


@checked
def evaluate(
    run_dir: str | Path,
    episodes: int = 100,
    seed: int = 0,
    trust: bool = False,
    env: Any = None,
    algo: Any = None,
    strategy: Any = None,
    acting_temperature: float | None = None,
) -> dict[str, Any]:
    """Evaluate a run's policy on episodes never seen in training.

    Args:
        run_dir: the run's folder.
        episodes: number of episodes.
        seed: seed of the episodes; the same seed gives every policy the same episodes.
        trust: allow environment code that the run's configuration names.
        env: as in ``resume``.
        algo: likewise.
        strategy: likewise.
        acting_temperature: act with samples from pi^(1/acting_temperature), 0 for the most likely
            action; None for what the policy was trained with.

    Returns:
        ``success_rate`` (at any step) and ``final_success_rate`` (at the last step), ``ci95`` and
        ``final_ci95`` (their intervals; Wilson), ``episodes``, ``ep_len_mean`` (steps to the first
        success or, where there is none, all steps).
    """
    objects = {"env": env, "algo": algo, "strategy": strategy}
    run = Run(Path(run_dir), trust, objects)
    if acting_temperature is not None:
        run = run.with_policy(run.policy.at_temperature(acting_temperature))
    return evaluate_run(run, episodes, seed)


@within_memory()
def evaluate_run(run: Run, episodes: int, seed: int) -> dict[str, Any]:
    """What ``evaluate`` does, with a run that is open."""
    parts = policy_episodes(run, episodes, seed)
    results = [outcome(part.task, part.episodes) for part in parts]
    return report(jax.tree.map(lambda *parts: np.concatenate(parts), *results))


@checked
def read_metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``."""
    return metrics.read(Path(run_dir) / "metrics.jsonl")


def _train(run: Run, quiet: bool, session: Session) -> None:
    try:
        launch.train(run, quiet, session)
        return
    except StoppedBySignalError as stopped:
        number = stopped.number
    error = python_error(number)
    error.add_note(f"Everything is saved: continue with {run.call}")
    raise error


def _default_folder(experiment: Experiment) -> Path:
    time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    env, algo = short_name(experiment.env), short_name(experiment.algo)
    return Path("runs") / f"{env}-{algo}-{experiment.run.seed}-{time}"
