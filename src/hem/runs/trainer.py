"""Trains a run from its latest checkpoint until its budget is spent, and saves it to disk."""

from __future__ import annotations

from rich.console import Console

from hem.errors import EnvError, within_memory
from hem.replay import buffer as ring
from hem.runs import beginning, checkpoint
from hem.runs.policy_file import save_policy
from hem.runs.reporter import Reporter, Silent
from hem.runs.run import Run
from hem.runs.run_folder import clear
from hem.runs.session import Callbacks, Session, StopRule
from hem.system.signals import StoppedBySignalError, StopRequest
from hem.training.loop import Step, iterations
from hem.training.rollout import Interrupted
from hem.training.schedule import Counters, is_due
from hem.training.workers import ONE, Workers
from hem.types import Algorithm, BatchedEnv, JaxEnv, Task
from hem.viz import plot


def train(
    run: Run,
    quiet: bool = False,
    workers: Workers = ONE,
    console: Console | None = None,
    session: Session = Session(),  # noqa: B008  frozen
) -> None:
    """Train from the latest checkpoint, or from the beginning, until the budget is spent.

    Args:
        run: locked by this process, as within ``Run.create`` or ``Run.hold``, or by its parent.
        quiet: do not show progress.
        workers: the workers of the run; their other processes call this too.
        console: where to show progress; by default standard error.
        session: what may end it earlier; that of the leading worker counts.

    Raises:
        StoppedBySignalError: stopped early by a signal; everything is saved.
        BaseException: what a callback raised; likewise.
        UserError: something is wrong with the settings, the environment or the disk. The
            configuration is written only once training can start.
    """
    with within_memory(), StopRequest() as should_stop:
        if workers.is_lead:
            with run.on_disk():
                clear(run.folder)
                checkpoint.recover(run.folder / "checkpoints")
        workers.any(False)  # the others wait for that
        env, algorithm = run.experiment.build()
        ring.check_memory(env.task, run.experiment.run.buffer_episodes)
        begin, remarks = beginning.begin(run, algorithm, env.task, workers)
        remarks += _remarks(run, env.task, begin.counters)
        title = f"{run.experiment.algo} · {env.task.name} · {run.folder}"
        reporter = (
            Reporter(run, title, begin.counters.iteration, quiet, console)
            if workers.is_lead
            else Silent()
        )
        with reporter:
            if workers.is_lead:
                checkpoint.put_aside(run.folder / "checkpoints", begin.counters.iteration)
                if _has_work(run, begin.counters):
                    run.save()
            for remark in remarks:
                reporter.note(remark)
            if reporter.last.get("iteration") == begin.counters.iteration:
                begin = begin._replace(row=reporter.last)
                _publish(run, algorithm, env.task, begin, workers)
            session = session if workers.is_lead else Session()
            callbacks = Callbacks(session.callbacks)
            stop = StopRule(session, run.folder, reporter.successes, callbacks)
            end = begin
            if not workers.any(stop.reason is not None):
                end = _iterate(run, env, algorithm, begin, reporter, should_stop, stop, workers)
            if stop.reason is not None and should_stop.signal is None:
                config = run.experiment.run
                done = f"{config.progress(end.counters)} {config.unit}"
                reporter.note(f"stopped at {done}: {stop.reason}")
        if workers.is_lead and should_stop.signal is None and end.counters.evaluated:
            plot.curves([run.folder], run.folder / "curve.png")
    if callbacks.error is not None:
        raise callbacks.error
    if should_stop.signal is not None:
        raise StoppedBySignalError(should_stop.signal)


def _iterate(
    run: Run,
    env: JaxEnv | BatchedEnv,
    algorithm: Algorithm,
    begin: Step,
    reporter: Reporter,
    should_stop: StopRequest,
    stop: StopRule,
    workers: Workers,
) -> Step:
    """Iterate, record and save, and return the last complete iteration.

    Raises:
        EnvError: the environment failed; what was learned before is saved.
    """
    last, saved, failure = begin, begin.counters.iteration, None
    config = run.experiment.run
    steps = iterations(
        env, algorithm, config, begin.state, begin.counters, should_stop, begin.row, workers
    )
    try:
        for last in steps:
            completes = bool(begin.row) and last.counters.iteration == begin.counters.iteration
            reporter.report(last, completes)
            if "eval/success_rate" in last.row:
                reporter.sync()
                _save(run, algorithm, env.task, last, workers)
                saved = last.counters.iteration
            if workers.any(stop(last) or should_stop()):
                break
    except Interrupted:
        pass  # the collection in progress is discarded
    except EnvError as error:
        if workers.count > 1:
            raise  # the others wait for this one, and would not save with it
        failure = error
    if last.counters.iteration > saved:
        reporter.sync()
        _save(run, algorithm, env.task, last, workers)
    if failure is not None:
        if not last.counters.iteration:
            raise failure
        raise EnvError(
            f"{failure}. Progress is saved: continue with {run.continuation}"
        ) from failure
    return last


def _has_work(run: Run, counters: Counters) -> bool:
    config = run.experiment.run
    return config.progress(counters) < config.budget or is_due(counters, config)


def _remarks(run: Run, task: Task, counters: Counters) -> list[str]:
    """What a user should know before the run continues."""
    remarks, config = [], run.experiment.run
    if run.config["version_hash"] != task.version_hash:
        remarks.append(
            f"{task.name} has changed since this run began (fingerprint "
            f"{task.version_hash}, was {run.config['version_hash']}): the curve may jump here"
        )
    if not _has_work(run, counters):
        remarks.append(
            f"nothing to do: {run.folder} has taken {config.progress(counters)} {config.unit} of a "
            f"budget of {config.budget}; increase it with --{config.budget_name}"
        )
    return remarks


def _save(run: Run, algorithm: Algorithm, task: Task, step: Step, workers: Workers) -> None:
    states = workers.local(step.state)
    filled = {w: state._replace(replay=ring.filled(state.replay)) for w, state in states.items()}
    folder = run.folder / "checkpoints"
    with run.on_disk():
        checkpoint.save(folder, step.counters.iteration, filled, step.counters, workers)
    _publish(run, algorithm, task, step, workers)


def _publish(run: Run, algorithm: Algorithm, task: Task, step: Step, workers: Workers) -> None:
    """Record a saved step as the best so far, with its policy, if it is.

    Resuming repeats this, because the process may have been killed between saving and this.
    """
    if not workers.is_lead:
        return
    success = step.row.get("eval/success_rate")
    best = success is not None and success >= step.counters.best
    with run.on_disk():
        checkpoint.keep_latest(
            run.folder / "checkpoints", step.counters.iteration if best else None
        )
        if best or not (run.folder / "policy.safetensors").exists():
            agent_state = workers.one(step.state.agent_state)
            save_policy(run.folder, algorithm.policy, agent_state.policy, task)
