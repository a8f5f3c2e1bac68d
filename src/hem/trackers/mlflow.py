"""MLflow: a run in the experiment of its environment."""

from __future__ import annotations

import sys
import time
from typing import Any

from hem.trackers.callback import TrackerCallback
from hem.trackers.tracked_run import Results, TrackedRun
from hem.training.metrics import MetricsRow, progress_of

NAME = "mlflow"
TAG = "hem.id"  # finds the run of earlier sessions
LIMITS = {"metrics": 1000, "params": 100, "value": 6000}  # of a request of MLflow's


class MlflowCallback(TrackerCallback):
    """Send metrics, settings and results to MLflow.

    In a program with an active MLflow run, such as within ``mlflow.start_run()``, that run receives
    them.
    """

    name = NAME

    def __init__(self, experiment: str | None = None, tracking_uri: str | None = None) -> None:
        """Prepare; nothing is sent yet.

        Args:
            experiment: the experiment's name; by default that of the environment.
            tracking_uri: the server or database; by default ``MLFLOW_TRACKING_URI``.

        Raises:
            UserError: MLflow is not installed.
        """
        super().__init__()
        self._experiment, self._uri = experiment, tracking_uri

    def active_run(self) -> Any:
        mlflow = sys.modules.get("mlflow")  # where it is not loaded, there is none
        return None if mlflow is None else mlflow.active_run()

    def open(self, tracked: TrackedRun) -> int:
        from mlflow import MlflowClient  # noqa: PLC0415  seconds, in this thread
        from mlflow.entities import Param  # noqa: PLC0415

        self._client = MlflowClient(self._uri)
        run = self._active or self._found(tracked)
        self._id = run.info.run_id
        last = 0 if self._active else int(run.data.metrics.get("iteration", 0))
        known = self._client.get_run(self._id).data.params
        params = [
            Param(name, str(value)[: LIMITS["value"]])
            for name, value in tracked.settings.items()
            if name not in known  # which cannot change
        ]
        for first in range(0, len(params), LIMITS["params"]):
            some = params[first : first + LIMITS["params"]]
            self._client.log_batch(self._id, params=some)
        return last

    def log(self, rows: list[MetricsRow]) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415

        batch, now = [], int(1000 * time.time())
        for row in rows:
            step = progress_of(row)
            metrics = [Metric(tag, value, now, step) for tag, value in row.items()]
            if len(batch) + len(metrics) > LIMITS["metrics"]:
                self._client.log_batch(self._id, metrics=batch)
                batch = []
            batch += metrics
        self._client.log_batch(self._id, metrics=batch)

    def close(self, results: Results) -> None:
        if results.best is not None:
            self._client.log_metric(self._id, "best_success_rate", results.best)
        for file in results.files:
            self._client.log_artifact(self._id, str(file), "run")
        if results.film is not None:
            self._client.log_artifact(self._id, str(results.film))
        if not self._active:
            self._client.set_terminated(self._id, results.status.upper())

    def _found(self, tracked: TrackedRun) -> Any:
        """The run of earlier sessions, or a new one."""
        experiment = self._experiment_id(self._experiment or tracked.project)
        mine = f"tags.`{TAG}` = '{tracked.id}'"
        for run in self._client.search_runs([experiment], mine, max_results=1):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return run
        return self._client.create_run(experiment, tags={TAG: tracked.id}, run_name=tracked.name)

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException:  # another run may just have created it
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return found.experiment_id


make = MlflowCallback
