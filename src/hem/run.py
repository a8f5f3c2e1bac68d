"""A run is a folder: what was asked, what happened, and all that is needed to go on.

``config.json`` says how to repeat it, ``metrics.jsonl`` and ``tensorboard/`` what happened,
``checkpoints/`` hold everything, ``policy.safetensors`` with ``policy.json`` the best policy so
far, ``curve.png`` the learning curve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock, Timeout

from hem import checkpoint, plot, registry
from hem import replay as ring
from hem.errors import UserError, WorldError
from hem.experiment import Experiment
from hem.export import LoadedPolicy, load_policy, save_policy
from hem.files import write_json
from hem.loop import Counters, Step, TrainState, init_state, iterations
from hem.metrics import Recorder
from hem.progress import Progress
from hem.provenance import provenance
from hem.rollout import Interrupted
from hem.stop import StopRequest
from hem.types import Algorithm, Simulator, Task, World

SCHEMA = 1


class Run:
    """A run folder that has a configuration."""

    def __init__(self, folder: Path, trust: bool = False) -> None:
        """Open ``folder``.

        Args:
            folder: of the run.
            trust: whether code that its configuration names may be run: that of an environment
                in a file, such as the run of a stranger may bring.

        Raises:
            UserError: it is no run, its configuration cannot be read, or it is not trusted.
        """
        self.folder = folder
        file = folder / "config.json"
        if not file.exists():
            raise UserError(f"{folder} is no run: there is no {file.name} in it")
        try:
            self.config = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is damaged: {error}") from error
        self.experiment = Experiment.from_json(self.config)
        self.code = registry.code_named(self.experiment.env, self.experiment.env_config)
        if self.code is not None and not trust:
            raise UserError(
                f"{folder} would run code of its own, {self.code}: add --trust (in Python, "
                "trust=True) if you know what that does"
            )

    @classmethod
    def create(cls, folder: Path, experiment: Experiment, task: Task) -> Run:
        """Make the folder of a new run and write down what is asked.

        Raises:
            UserError: there is something in the folder already, or it cannot be written.
        """
        if (folder / "config.json").exists():
            raise UserError(
                f"{folder} already holds a run: continue it with `hem resume {folder}`, or give "
                "another --run-dir"
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists and is no run: give another --run-dir")
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "config.json", _config(experiment, task))
        return cls(folder, trust=True)  # of what is run here and now

    @property
    def policy(self) -> LoadedPolicy:
        """The best policy so far."""
        return load_policy(self.folder)

    def extend(self, env_steps: int | None) -> None:
        """Raise the budget of environment steps, and note the command that did so."""
        if env_steps is not None:
            run = replace(self.experiment.run, env_steps=env_steps)
            self.experiment = replace(self.experiment, run=run)
            self.config["run"]["env_steps"] = env_steps
        self.config.setdefault("resumed", []).append(provenance())
        with _disk(self.folder):
            write_json(self.folder / "config.json", self.config)

    def train(self, quiet: bool = False) -> int | None:
        """Train from the latest checkpoint, or from the beginning, until the budget is spent.

        Returns:
            The signal that asked to stop before that, if one did; all is saved then too.
        """
        with _disk(self.folder), _locked(self.folder), StopRequest() as should_stop:
            world, algorithm = self.experiment.build()
            ring.check_memory(world.task, self.experiment.run.capacity)
            state, counters, complaints = self._latest(algorithm, world.task)
            if self.config["fingerprint"] != world.task.fingerprint:
                complaints.append(
                    f"{world.task.name} is not what it was when this run began (fingerprint "
                    f"{world.task.fingerprint}, was {self.config['fingerprint']}): the curve may "
                    "bend here"
                )
            budget = self.experiment.run.env_steps
            if counters.env_steps >= budget:
                complaints.append(
                    f"nothing to do: {self.folder} has the {budget} environment steps that it was "
                    "to take; give more with --env-steps"
                )
            title = f"{self.experiment.algo} · {world.task.name} · {self.folder}"
            begin = Step(state, counters, {})
            with (
                Recorder(self.folder, counters.iteration) as recorder,
                Progress(title, budget, quiet, start=recorder.last) as progress,
            ):
                for complaint in complaints:
                    progress.note(complaint)
                end = self._loop(world, algorithm, begin, recorder, progress, should_stop)
            if should_stop.signal is None and end.counters.iteration:
                plot.curves([self.folder], self.folder / "curve.png")
        return should_stop.signal

    def _loop(
        self,
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
        steps = iterations(
            world, algorithm, self.experiment.run, begin.state, begin.counters, should_stop
        )
        try:
            for last in steps:
                recorder.write(last.row)
                progress.update(last.row)
                if "eval/success_rate" in last.row:
                    recorder.sync()
                    best = last.row["eval/success_rate"] >= last.counters.best
                    self._save(algorithm, world.task, last, best)
                    saved = last.counters.iteration
                if should_stop():
                    break
        except Interrupted:
            pass  # a collection under way is given up
        except WorldError as error:
            failure = error
        if last.counters.iteration > saved:
            recorder.sync()
            self._save(algorithm, world.task, last, best=False)
        if failure is not None:
            if not last.counters.iteration:
                raise failure
            flag = "" if self.code is None else " --trust"
            raise WorldError(
                f"{failure}. What was learnt is saved: `hem resume {self.folder}{flag}` goes on"
            ) from failure
        return last

    def _latest(self, algorithm: Algorithm, task: Task) -> tuple[TrainState, Counters, list[str]]:
        run = self.experiment.run

        def begin(seed: jax.Array) -> TrainState:
            return init_state(task, algorithm, seed, run.capacity)

        seed = jax.numpy.uint32(run.seed)
        folder = self.folder / "checkpoints"
        if not checkpoint.listed(folder):
            return jax.jit(begin)(seed), Counters(), []
        state, meta, complaints = checkpoint.load_latest(folder, jax.eval_shape(begin, seed))
        counters = Counters(**{f.name: meta["counters"][f.name] for f in fields(Counters)})
        if complaints:
            complaints.append(f"went back to iteration {counters.iteration}, which is good")
        return jax.device_put(state), counters, complaints

    def _save(self, algorithm: Algorithm, task: Task, step: Step, best: bool) -> None:
        state, counters = step.state, step.counters
        filled = int(state.replay.size)
        data = jax.tree.map(lambda x: x[:filled], state.replay.data)
        checkpoint.save(
            self.folder / "checkpoints",
            counters.iteration,
            state._replace(replay=state.replay._replace(data=data)),
            {"counters": asdict(counters)},
            best,
        )
        if best or not (self.folder / "policy.safetensors").exists():
            policy_state = algorithm.policy_state(state.learner)
            save_policy(self.folder, algorithm.policy, policy_state, task)


def _config(experiment: Experiment, task: Task) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **experiment.to_json(),
        "fingerprint": task.fingerprint,
        "replay_bytes": ring.predicted_bytes(task, experiment.run.capacity),
        "devices": [device.device_kind for device in jax.devices()],
        **provenance(),
    }


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn what the disk says into a line that the user can act on."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}. What was saved is safe; make "
            f"room or mend the folder, then `hem resume {folder}`"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run, so that no other process trains it at the same time."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"another process is training {folder}: wait for it") from None
