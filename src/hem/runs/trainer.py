"""Trains a run from its latest checkpoint until its budget is spent, and saves it to disk."""

from __future__ import annotations

import jax

from hem.errors import EnvError, require, within_memory
from hem.replay import buffer as ring
from hem.runs import checkpoint
from hem.runs.policy_file import save_policy
from hem.runs.run import Run
from hem.runs.run_folder import clear, on_disk
from hem.system.compile_cache import jit
from hem.system.signals import StoppedBySignalError, StopRequest
from hem.training.loop import Step, TrainState, init_state, iterations
from hem.training.metrics import Recorder
from hem.training.rollout import Interrupted
from hem.training.schedule import Counters, is_due
from hem.types import Algorithm, BatchedEnv, JaxEnv, Task
from hem.viz import plot
from hem.viz.progress import Progress


def train(run: Run, quiet: bool = False) -> None:
    """Train from the latest checkpoint, or from the beginning, until the budget is spent.

    Args:
        run: locked by this process, as within ``Run.create`` or ``Run.hold``.
        quiet: do not show progress.

    Raises:
        StoppedBySignalError: stopped early by a signal; everything is saved.
        UserError: something is wrong with the settings, the environment or the disk. The
            configuration is written only once training can start.
    """
    with on_disk(run.folder), within_memory(), StopRequest() as should_stop:
        clear(run.folder)
        env, algorithm = run.experiment.build()
        ring.check_memory(env.task, run.experiment.run.buffer_episodes)
        begin, remarks = _latest(run, algorithm, env.task)
        remarks += _remarks(run, env.task, begin.counters)
        budget = run.experiment.run.env_steps
        title = f"{run.experiment.algo} · {env.task.name} · {run.folder}"
        with (
            Recorder(run.folder, begin.counters.iteration) as recorder,
            Progress(title, budget, quiet, start=recorder.last) as progress,
        ):
            if _has_work(run, begin.counters):
                run.save()
            for remark in remarks:
                progress.note(remark)
            if recorder.last and recorder.last["iteration"] == begin.counters.iteration:
                begin = begin._replace(row=recorder.last)
                _publish(run, algorithm, env.task, begin)
            end = _iterate(run, env, algorithm, begin, recorder, progress, should_stop)
        if should_stop.signal is None and end.counters.iteration:
            plot.curves([run.folder], run.folder / "curve.png")
    if should_stop.signal is not None:
        raise StoppedBySignalError(should_stop.signal)


def _iterate(
    run: Run,
    env: JaxEnv | BatchedEnv,
    algorithm: Algorithm,
    begin: Step,
    recorder: Recorder,
    progress: Progress,
    should_stop: StopRequest,
) -> Step:
    """Iterate, record and save, and return the last complete iteration.

    Raises:
        EnvError: the environment failed; what was learned before is saved.
    """
    last, saved, failure = begin, begin.counters.iteration, None
    config = run.experiment.run
    steps = iterations(env, algorithm, config, begin.state, begin.counters, should_stop, begin.row)
    try:
        for last in steps:
            made_up = begin.row and last.counters.iteration == begin.counters.iteration
            (recorder.complete if made_up else recorder.write)(last.row)
            progress.update(last.row)
            if failure_to_record := recorder.failure():
                progress.note(failure_to_record)
            if "eval/success_rate" in last.row:
                recorder.sync()
                _save(run, algorithm, env.task, last)
                saved = last.counters.iteration
            if should_stop():
                break
    except Interrupted:
        pass  # the collection in progress is discarded
    except EnvError as error:
        failure = error
    if last.counters.iteration > saved:
        recorder.sync()
        _save(run, algorithm, env.task, last)
    if failure is not None:
        if not last.counters.iteration:
            raise failure
        flag = "" if run.code is None else " --trust"
        raise EnvError(
            f"{failure}. Progress is saved: continue with `hem resume {run.folder}{flag}`"
        ) from failure
    return last


def _latest(run: Run, algorithm: Algorithm, task: Task) -> tuple[Step, list[str]]:
    """The step to resume from, and messages about checkpoints that cannot be used."""
    config = run.experiment.run

    def init(seed: jax.Array) -> TrainState:
        return init_state(task, algorithm, seed, config.buffer_episodes)

    seed = jax.numpy.uint32(config.seed)
    folder = run.folder / "checkpoints"
    checkpoint.recover(folder)
    if not checkpoint.listed(folder):
        return Step(jit(init)(seed), Counters(), {}), []
    template = jax.eval_shape(init, seed)
    state, counters, complaints = checkpoint.load_latest(folder, template, Counters)
    require(
        state.iteration == counters.iteration < 2**31 // config.episodes_per_iteration,
        f"the checkpoints in {folder} are damaged: the counters do not match the arrays",
    )
    if complaints:
        complaints.append(f"resuming from iteration {counters.iteration}, which is intact")
    return Step(state, counters, {}), complaints


def _has_work(run: Run, counters: Counters) -> bool:
    config = run.experiment.run
    return counters.env_steps < config.env_steps or is_due(counters, config)


def _remarks(run: Run, task: Task, counters: Counters) -> list[str]:
    """What a user should know before the run continues."""
    remarks, budget = [], run.experiment.run.env_steps
    if run.config["version_hash"] != task.version_hash:
        remarks.append(
            f"{task.name} has changed since this run began (fingerprint "
            f"{task.version_hash}, was {run.config['version_hash']}): the curve may jump here"
        )
    if not _has_work(run, counters):
        remarks.append(
            f"nothing to do: {run.folder} has taken {counters.env_steps} environment steps of a "
            f"budget of {budget}; increase it with --env-steps"
        )
    return remarks


def _save(run: Run, algorithm: Algorithm, task: Task, step: Step) -> None:
    state, counters = step.state, step.counters
    checkpoint.save(
        run.folder / "checkpoints",
        counters.iteration,
        state._replace(replay=ring.filled(state.replay)),
        counters,
    )
    _publish(run, algorithm, task, step)


def _publish(run: Run, algorithm: Algorithm, task: Task, step: Step) -> None:
    """Record a saved step as the best so far, with its policy, if it is.

    Resuming repeats this, because the process may have been killed between saving and this.
    """
    success = step.row.get("eval/success_rate")
    best = success is not None and success >= step.counters.best
    checkpoint.keep_latest(run.folder / "checkpoints", step.counters.iteration if best else None)
    if best or not (run.folder / "policy.safetensors").exists():
        save_policy(run.folder, algorithm.policy, step.state.agent_state.policy, task)
