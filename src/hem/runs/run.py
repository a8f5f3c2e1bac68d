"""A run is a folder: its configuration, its metrics, and all that is needed to resume it.

``config.json`` says how to reproduce it, ``metrics.jsonl`` and ``tensorboard/`` what happened,
``checkpoints/`` hold everything, ``policy.safetensors`` with ``policy.json`` the best policy so
far, ``curve.png`` the learning curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from hem import registry
from hem.errors import UserError, require
from hem.replay import buffer as ring
from hem.runs import advice, manifest, run_folder
from hem.runs import experiment as experiments
from hem.runs.experiment import Experiment
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.manifest import CONFIG, read_manifest
from hem.runs.policy_file import load_policy
from hem.runs.provenance import provenance
from hem.system.atomic_io import write_json
from hem.system.conversion import checked
from hem.system.parsing import AbsentError
from hem.types import Task


class Run:
    """A run folder with a configuration."""

    _policy: LoadedPolicy | None = None  # instead of that of the folder

    @checked
    def __init__(
        self, folder: str | Path, trust: bool = False, objects: Any = experiments.NONE
    ) -> None:
        """Open ``folder``.

        Args:
            folder: the run folder.
            trust: allow code that its configuration names: an environment in a file, which a run
                from someone else may bring along.
            objects: what replaces the env, algo or strategy that it names, by these names.

        Raises:
            UserError: it is not a run folder, cannot be read, is not trusted, or needs an object.
        """
        self.folder = folder = Path(folder)
        file = folder / CONFIG
        try:
            config = read_manifest(file)
        except AbsentError as error:
            raise UserError(f"{folder} is not a run folder: it has no {file.name}") from error
        try:
            self._adopt(config, objects, trust)
        except AbsentError as error:
            raise UserError(
                f"{error}, which {folder} needs: if it was moved, write its new path into {file}"
            ) from error

    def _adopt(self, config: dict[str, Any], objects: Any, trust: bool) -> None:
        self.config = config
        self.objects = experiments.modules_of(objects, config)
        self.code = experiments.code_named(config, self.objects)  # before any of it is run
        self._require_trust(trust)
        try:
            self.experiment = Experiment.from_json(config, self.objects)
        except AbsentError:
            raise
        except UserError as error:
            raise UserError(f"{self.folder / CONFIG} is not usable: {error}") from error
        if self.code is None and "env" not in self.objects:
            self.code = registry.code_named(self.experiment.env, self.experiment.env_config)
            self._require_trust(trust)

    def _require_trust(self, trust: bool) -> None:
        require(
            trust or self.code is None,
            f"{self.folder} would run code of its own, {self.code}: add --trust (in Python, "
            "trust=True) if you know what it does",
        )

    @classmethod
    @contextmanager
    def create(
        cls, folder: Path, experiment: Experiment, task: Task, numbered: bool = False
    ) -> Iterator[Run]:
        """Create the folder of a new run, write its configuration, and lock it for the block.

        Args:
            folder: the run folder, new or empty.
            experiment: what is run.
            task: the experiment's task.
            numbered: if ``folder`` is taken, create one with a number appended to its name instead.

        Raises:
            UserError: the folder is not empty, or is not writable.
        """
        config = new_config(experiment, task)

        def begin(folder: Path) -> Run:
            write_json(folder / CONFIG, config)
            return cls(folder, True, experiment.objects)  # trusted: its code runs here and now

        with run_folder.created(folder, begin, numbered) as run:
            yield run

    @classmethod
    @contextmanager
    def hold(
        cls, folder: Path, trust: bool = False, objects: Any = experiments.NONE
    ) -> Iterator[Run]:
        """Open a run to resume it, and lock it for the block; arguments as for opening it.

        Raises:
            UserError: as for opening it, or another process has locked it.
        """
        opened = cls(folder, trust, objects)  # anything but a run folder is left unchanged
        with run_folder.held(folder, opened.continuation):
            yield cls(folder, trust, objects)  # the previous holder may have changed it

    @property
    def continuation(self) -> str:
        """The command that continues it or, where only a program can, the call."""
        return f"`{self.advised('resume')}`"

    @property
    def call(self) -> str:
        """The call that continues it."""
        return f"`{advice.call('resume', self.folder, self.config, self.code)}`"

    def advised(self, verb: str) -> str:
        """The command ``hem VERB`` for it or, where only a program can do that, the call."""
        return advice.advised(verb, self.folder, self.config, self.code)

    @classmethod
    def joined(cls, folder: Path, config: dict[str, Any], objects: Any) -> Run:
        """A run whose folder another process holds, with that process's configuration."""
        run = cls.__new__(cls)
        run.folder = folder
        run._adopt(config, objects, trust=True)
        return run

    @property
    def policy(self) -> LoadedPolicy:
        """The best policy so far."""
        return load_policy(self.folder) if self._policy is None else self._policy

    def with_policy(self, policy: LoadedPolicy) -> Run:
        """The same run with this policy, whatever a process that trains it finds meanwhile."""
        run = copy(self)
        run._policy = policy
        return run

    @checked
    def extend(
        self, env_steps: int | None, workers: int | None = None, updates: int | None = None
    ) -> None:
        """Change the budget or the number of workers, and record the command that did so.

        Nothing is written before ``save``.
        """
        require(
            env_steps is None or self.experiment.run.offline is None,
            f"{self.folder} learns from data alone and takes no environment steps: use --updates",
        )
        asked = {"env_steps": env_steps, "workers": workers, "updates": updates}
        changed = {name: value for name, value in asked.items() if value is not None}
        run = replace(self.experiment.run, **changed)
        self.experiment = replace(self.experiment, run=run)
        self.config["run"] |= changed
        self.config["resumed"].append(provenance())

    def save(self) -> None:
        """Write the configuration."""
        with self.on_disk():
            write_json(self.folder / CONFIG, self.config)

    def on_disk(self) -> AbstractContextManager[None]:
        """Turn errors when writing its folder into an error that says how to continue."""
        return run_folder.on_disk(self.folder, self.continuation)


def new_config(experiment: Experiment, task: Task) -> dict[str, Any]:
    """What ``config.json`` records of a new run."""
    return {
        "schema": manifest.SCHEMA,
        **experiment.to_json(),
        "dataset": None,
        "version_hash": task.version_hash,
        "replay_bytes": ring.predicted_bytes(task, experiment.run.buffer_episodes),
        "devices": [device.device_kind for device in jax.devices()],
        **provenance(),
    }
