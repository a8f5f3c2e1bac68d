"""Weights & Biases: a run in the project of its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hem.errors import UserError
from hem.system.atomic_io import refuse_link
from hem.trackers.callback import WAIT_S, TrackerCallback
from hem.trackers.sender import say
from hem.trackers.tracked_run import Results, TrackedRun
from hem.trackers.wandb_log import last_iteration
from hem.training.metrics import MetricsRow

NAME = "wandb"
CONNECT_S = 60  # seconds that a server has to answer


class WandbCallback(TrackerCallback):
    """Send metrics, settings and results to Weights & Biases.

    In a program with an active W&B run, such as that of a sweep, that run receives them.
    """

    name = NAME

    def __init__(self, project: str | None = None, **init: Any) -> None:
        """Prepare; nothing is sent yet.

        Args:
            project: the project's name; by default that of the environment.
            **init: any other argument of ``wandb.init``, such as ``entity``, ``group`` or ``mode``.

        Raises:
            UserError: wandb is not installed.
        """
        super().__init__()
        self._project, self._init = project, init

    def active_run(self) -> Any:
        wandb = sys.modules.get("wandb")  # where it is not loaded, there is none
        return None if wandb is None else wandb.run

    def open(self, tracked: TrackedRun) -> int:
        self._run = self._active or self._opened(tracked)
        self._run.config.update(tracked.settings, allow_val_change=True)
        along = "updates" if tracked.settings.get("offline") else "env_steps"
        self._run.define_metric(along)
        self._run.define_metric("*", step_metric=along)
        if self._run.offline and not self._active:
            return last_iteration(Path(self._run.dir).parents[1], tracked.id)
        return int(self._run.summary.get("iteration", 0)) if self._run.resumed else 0

    def log(self, rows: list[MetricsRow]) -> None:
        for row in rows:
            # In a run of the program's own, its steps count.
            self._run.log(row, step=None if self._active else int(row["iteration"]))

    def close(self, results: Results) -> None:
        import wandb  # noqa: PLC0415

        if results.best is not None:
            self._run.summary["best_success_rate"] = results.best
        if results.files:
            artifact = wandb.Artifact(f"run-{self._run.id}", type="model")
            for file in (*results.files, *filter(None, [results.film])):
                artifact.add_file(str(file))
            self._run.log_artifact(artifact)
        if results.film is not None:
            suffix: Any = results.film.suffix[1:]
            self._run.summary["film"] = wandb.Video(str(results.film), format=suffix)
        if not self._active:
            self._run.finish(exit_code=int(results.status != "finished"))

    def _opened(self, tracked: TrackedRun) -> Any:
        """The run of earlier sessions, or a new one."""
        import wandb  # noqa: PLC0415  a second, in this thread

        settings = wandb.Settings(
            console="off",
            init_timeout=CONNECT_S,
            finish_timeout=WAIT_S["finished"],
            silent=True,
        )
        mode = self._init.get("mode") or os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not wandb.login(prompt=False):
            raise UserError("you are not logged in: run `wandb login`, or set WANDB_MODE=offline")
        place = {} if "WANDB_DIR" in os.environ else {"dir": str(tracked.folder)}
        refuse_link(tracked.folder / "wandb")
        defaults = {"name": tracked.name, "settings": settings, **place}
        run = wandb.init(
            project=self._project or tracked.project,
            id=tracked.id,
            resume="allow",
            **(defaults | self._init),
        )
        if not run.offline and run.url:
            say(f"wandb: {run.url}")
        return run


make = WandbCallback
