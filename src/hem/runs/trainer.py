"""Training a run: from its latest checkpoint until its budget is spent, all of it on the disk."""

from __future__ import annotations

import jax

from hem.errors import WorldError, require, within_memory
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
from hem.types import Algorithm, Simulator, Task, World
from hem.viz import plot
from hem.viz.progress import Progress


def train(run: Run, quiet: bool = False) -> None:
    """Train from the latest checkpoint, or from the beginning, until the budget is spent.

    Args:
        run: held by this process, as within ``Run.create`` or ``Run.hold``.
        quiet: show no progress.

    Raises:
        StoppedBySignalError: a signal asked to stop before that; all is saved then too.
        UserError: something is wrong with what was asked, the environment or the disk. The
            configuration is written only once nothing stands in the way of training.
    """
    with on_disk(run.folder), within_memory(), StopRequest() as should_stop:
        clear(run.folder)
        world, algorithm = run.experiment.build()
        ring.check_memory(world.task, run.experiment.run.capacity)
        begin, remarks = _latest(run, algorithm, world.task)
        remarks += _remarks(run, world.task, begin.counters)
        budget = run.experiment.run.env_steps
        title = f"{run.experiment.algo} · {world.task.name} · {run.folder}"
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
                _publish(run, algorithm, world.task, begin)
            end = _iterate(run, world, algorithm, begin, recorder, progress, should_stop)
        if should_stop.signal is None and end.counters.iteration:
            plot.curves([run.folder], run.folder / "curve.png")
    if should_stop.signal is not None:
        raise StoppedBySignalError(should_stop.signal)


def _iterate(
    run: Run,
    world: World | Simulator,
    algorithm: Algorithm,
    begin: Step,
    recorder: Recorder,
    progress: Progress,
    should_stop: StopRequest,
) -> Step:
    """Iterate, record and save, and return the last whole iteration.

    Raises:
        WorldError: the environment failed; what was learnt before is saved.
    """
    last, saved, failure = begin, begin.counters.iteration, None
    config = run.experiment.run
    steps = iterations(
        world, algorithm, config, begin.state, begin.counters, should_stop, begin.row
    )
    try:
        for last in steps:
            made_up = begin.row and last.counters.iteration == begin.counters.iteration
            (recorder.complete if made_up else recorder.write)(last.row)
            progress.update(last.row)
            if failure_to_record := recorder.failure():
                progress.note(failure_to_record)
            if "eval/success_rate" in last.row:
                recorder.sync()
                _save(run, algorithm, world.task, last)
                saved = last.counters.iteration
            if should_stop():
                break
    except Interrupted:
        pass  # a collection under way is given up
    except WorldError as error:
        failure = error
    if last.counters.iteration > saved:
        recorder.sync()
        _save(run, algorithm, world.task, last)
    if failure is not None:
        if not last.counters.iteration:
            raise failure
        flag = "" if run.code is None else " --trust"
        raise WorldError(
            f"{failure}. What was learnt is saved: `hem resume {run.folder}{flag}` goes on"
        ) from failure
    return last


def _latest(run: Run, algorithm: Algorithm, task: Task) -> tuple[Step, list[str]]:
    """Where to go on from, and what to say of checkpoints that cannot be used."""
    config = run.experiment.run

    def init(seed: jax.Array) -> TrainState:
        return init_state(task, algorithm, seed, config.capacity)

    seed = jax.numpy.uint32(config.seed)
    folder = run.folder / "checkpoints"
    checkpoint.recover(folder)
    if not checkpoint.listed(folder):
        return Step(jit(init)(seed), Counters(), {}), []
    template = jax.eval_shape(init, seed)
    state, counters, complaints = checkpoint.load_latest(folder, template, Counters)
    require(
        state.iteration == counters.iteration < 2**31 // config.episodes,
        f"the checkpoints in {folder} are damaged: the counters are not those of the arrays",
    )
    if complaints:
        complaints.append(f"went back to iteration {counters.iteration}, which is good")
    return Step(state, counters, {}), complaints


def _has_work(run: Run, counters: Counters) -> bool:
    config = run.experiment.run
    return counters.env_steps < config.env_steps or is_due(counters, config)


def _remarks(run: Run, task: Task, counters: Counters) -> list[str]:
    """What a user should know before the run goes on."""
    remarks, budget = [], run.experiment.run.env_steps
    if run.config["version_hash"] != task.version_hash:
        remarks.append(
            f"{task.name} is not what it was when this run began (fingerprint "
            f"{task.version_hash}, was {run.config['version_hash']}): the curve may bend here"
        )
    if not _has_work(run, counters):
        remarks.append(
            f"nothing to do: {run.folder} has {counters.env_steps} environment steps, and was to "
            f"take {budget}; give more with --env-steps"
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
    """Let a saved step be the best so far, with its policy, if it is.

    Resuming does so again, because a kill may have come between saving and this.
    """
    success = step.row.get("eval/success_rate")
    best = success is not None and success >= step.counters.best
    checkpoint.settle(run.folder / "checkpoints", step.counters.iteration if best else None)
    if best or not (run.folder / "policy.safetensors").exists():
        save_policy(run.folder, algorithm.policy, step.state.agent_state.policy, task)
