"""A run is a folder: what was asked, what happened, and all that is needed to go on.

``config.json`` says how to repeat it, ``metrics.jsonl`` and ``tensorboard/`` what happened,
``checkpoints/`` hold everything, ``policy.safetensors`` with ``policy.json`` the best policy so
far, ``curve.png`` the learning curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from hem import registry
from hem.errors import UserError
from hem.replay import buffer as ring
from hem.runs import manifest, run_folder
from hem.runs.experiment import Experiment
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.manifest import read_manifest
from hem.runs.policy_file import load_policy
from hem.runs.provenance import provenance
from hem.runs.run_folder import CONFIG
from hem.system.atomic_io import write_json
from hem.system.conversion import checked
from hem.system.parsing import AbsentError
from hem.types import Task


class Run:
    """A run folder that has a configuration."""

    @checked
    def __init__(self, folder: str | Path, trust: bool = False) -> None:
        """Open ``folder``.

        Args:
            folder: of the run.
            trust: whether code that its configuration names may be run: that of an environment
                in a file, such as the run of a stranger may bring.

        Raises:
            UserError: it is not a run folder, cannot be read, or is not trusted.
        """
        self.folder = folder = Path(folder)
        file = folder / CONFIG
        try:
            self.config = read_manifest(file)
        except AbsentError as error:
            raise UserError(
                f"{folder} is not a run folder: there is no {file.name} in it"
            ) from error
        try:
            self.experiment = Experiment.from_json(self.config)
        except AbsentError as error:
            raise UserError(
                f"{error}, which {folder} is a run of: if it was moved, write its new place into "
                f"{file}"
            ) from error
        except UserError as error:
            raise UserError(f"{file} asks for what there is not: {error}") from error
        self.code = registry.code_named(self.experiment.env, self.experiment.env_config)
        if self.code is not None and not trust:
            raise UserError(
                f"{folder} would run code of its own, {self.code}: add --trust (in Python, "
                "trust=True) if you know what that does"
            )

    @classmethod
    @contextmanager
    def create(
        cls, folder: Path, experiment: Experiment, task: Task, numbered: bool = False
    ) -> Iterator[Run]:
        """Make the folder of a new run, write down what is asked, and hold it for the block.

        Args:
            folder: of the run, new or empty.
            experiment: what is asked.
            task: the experiment's.
            numbered: where ``folder`` is taken, make one with a number behind its name instead.

        Raises:
            UserError: there is something in the folder already, or it cannot be written.
        """
        config = _config(experiment, task)

        def fill(folder: Path) -> None:
            write_json(folder / CONFIG, config)

        with run_folder.created(folder, fill, numbered) as mine:
            yield cls(mine, trust=True)  # of what is run here and now

    @classmethod
    @contextmanager
    def hold(cls, folder: Path, trust: bool = False) -> Iterator[Run]:
        """Open a run to go on with it, and hold it for the block.

        Raises:
            UserError: as of opening it, or another process holds it.
        """
        cls(folder, trust)  # what is not a run folder is left as it is
        with run_folder.held(folder):
            yield cls(folder, trust)  # who held it before may have changed it

    @property
    def policy(self) -> LoadedPolicy:
        """The best policy so far."""
        return load_policy(self.folder)

    @checked
    def extend(self, env_steps: int | None) -> None:
        """Change the budget of environment steps, and note the command that did so.

        Nothing is written before ``save``.
        """
        if env_steps is not None:
            run = replace(self.experiment.run, env_steps=env_steps)
            self.experiment = replace(self.experiment, run=run)
            self.config["run"]["env_steps"] = env_steps
        self.config["resumed"].append(provenance())

    def save(self) -> None:
        """Write the configuration down."""
        write_json(self.folder / CONFIG, self.config)


def _config(experiment: Experiment, task: Task) -> dict[str, Any]:
    return {
        "schema": manifest.SCHEMA,
        **experiment.to_json(),
        "version_hash": task.version_hash,
        "replay_bytes": ring.predicted_bytes(task, experiment.run.capacity),
        "devices": [device.device_kind for device in jax.devices()],
        **provenance(),
    }
