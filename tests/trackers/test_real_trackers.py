"""W&B and MLflow, offline and for real: what their files and readers hold after a kill and more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import FLIP, await_rows, rows

from hem.errors import UserError
from hem.trackers import WandbCallback
from hem.trackers.tracked_run import TrackedRun
from hem.trackers.wandb_log import _records, last_iteration

pytestmark = pytest.mark.slow  # trackers take seconds to load, and more to begin

LONG = FLIP | {"eval_interval": 300, "env_steps": 10**6}
PROGRAM = """
import sys
import hem
from hem.trackers import MlflowCallback, WandbCallback
from hem.trackers import wandb

wandb.CONNECT_S = 2
both = [WandbCallback(), MlflowCallback()]
if sys.argv[2] == "resume":
    hem.resume(sys.argv[1], env_steps=int(sys.argv[3]), callback=both)
else:
    hem.train("FlipBit", run_dir=sys.argv[1], callback=both, **eval(sys.argv[3]))
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of this machine's, and files in ``folder``."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    tracking = {"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/ml.db"}
    return base | {"HOME": str(folder)} | tracking | more


def program(folder: Path, *words: str, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, env=environment(folder, **more),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def history(run: Path) -> list[dict[str, Any]]:
    """The rows of all offline sessions of W&B, in their order."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for file in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        for data in _records(file.read_bytes()):
            record = Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                found.append(
                    {(x.key or "/".join(x.nested_key)): json.loads(x.value_json) for x in items}
                )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a run that was killed once, and went on."""
    folder = tmp_path_factory.mktemp("tracked")
    run = folder / "run"
    first = program(folder, str(run), "train", repr(LONG))
    await_rows(run, 1, first)
    deadline = time.monotonic() + 120
    while not sent_to_mlflow(folder) or not list(run.glob("wandb/*/*.wandb")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    await_rows(run, len(rows(run)) + 7, first)
    helpers = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate()
    psutil.wait_procs(helpers, timeout=60)  # W&B's own process ends its file
    second = program(folder, str(run), "resume", str(rows(run)[-1]["env_steps"] + 200))
    assert second.wait(timeout=300) == 0, second.communicate()[0]
    second.communicate()
    return folder


def sent_to_mlflow(folder: Path) -> bool:
    """Whether the database holds a metric."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{folder}/ml.db?mode=ro", uri=True) as base:
            return base.execute("select count(*) from metrics").fetchone()[0] > 0
    except sqlite3.OperationalError:
        return False


def test_wandb_has_each_row_once_after_a_kill(folder):
    run = folder / "run"
    found, wanted = history(run), rows(run)
    assert [row["iteration"] for row in found] == [row["iteration"] for row in wanted]
    assert [row["_step"] for row in found] == [row["iteration"] for row in found]
    for mine, theirs in zip(wanted, found, strict=True):
        exact = {tag: value for tag, value in mine.items() if not tag.endswith("_s")}
        assert {tag: theirs[tag] for tag in exact} == exact
    assert len(list(run.glob("wandb/offline-run-*"))) == 2
    (identity,) = {path.name.rpartition("-")[2] for path in run.glob("wandb/offline-run-*")}
    assert identity == json.loads((run / "wandb.json").read_text())["id"]


def test_wandb_gets_settings_axis_policy_and_film(folder):
    from wandb.proto.wandb_internal_pb2 import Record

    (last,) = sorted((folder / "run").glob("wandb/offline-run-*/run-*.wandb"))[1:]
    records = [Record.FromString(data) for data in _records(last.read_bytes())]
    (run,) = (r.run for r in records if r.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name) == ("FlipBit", "run")
    config = {x.key: json.loads(x.value_json) for r in records for x in r.config.update}
    assert config.items() >= {"env": "FlipBit", "bits": 5, "hidden_dims": [8]}.items()
    metrics = [r.metric for r in records if r.WhichOneof("record_type") == "metric"]
    assert ("*", "env_steps") in [(m.glob_name, m.step_metric) for m in metrics]
    (artifact,) = (r.artifact for r in records if r.WhichOneof("record_type") == "artifact")
    names = {entry.path for entry in artifact.manifest.contents}
    assert names >= {"policy.safetensors", "policy.json", "config.json", "replay.mp4"}
    assert list(last.parent.glob("files/media/videos/film_*.mp4"))
    summary = {x.key or x.nested_key[0] for r in records for x in r.summary.update}
    assert {"best_success_rate", "film"} <= summary


READ = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "FlipBit"]
(run,) = client.search_runs([experiment.experiment_id])
names = [a.path for at in ("", "run") for a in client.list_artifacts(run.info.run_id, at)]
history = {tag: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, tag)]
           for tag in run.data.metrics}
print(json.dumps([run.info.run_name, run.info.status, run.data.params, names, history]))
"""


def test_mlflow_has_each_row_once_after_a_kill_and_the_results(folder):
    command = [sys.executable, "-c", READ, f"sqlite:///{folder}/ml.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    name, status, params, names, history = json.loads(done.stdout)
    assert (name, status) == ("run", "FINISHED")
    assert params.items() >= {"env": "FlipBit", "bits": "5", "algo": "hem"}.items()
    assert {"replay.mp4", "run/policy.safetensors", "run/curve.png"} <= set(names)
    wanted = rows(folder / "run")
    assert len(history.pop("best_success_rate")) == 1
    for tag, points in history.items():
        held = [row for row in wanted if tag in row]
        assert [step for step, _ in points] == [row["env_steps"] for row in held]
        if not tag.endswith("_s"):
            assert [value for _, value in points] == [row[tag] for row in held]


ACTIVE = """
import sys
import mlflow
import wandb
import hem
from hem.trackers import MlflowCallback, WandbCallback

with wandb.init(project="mine", mode="offline") as mine, mlflow.start_run() as active:
    both = [WandbCallback(), MlflowCallback()]
    run = hem.train("FlipBit", run_dir=sys.argv[1], callback=both, **eval(sys.argv[2]))
    last = hem.read_metrics(run.folder)[-1]["iteration"]
    assert wandb.run is mine
    assert mine.summary["iteration"] == last
    mine.log({"mine": 1})
    mlflow.log_metric("mine", 1)
data = mlflow.get_run(active.info.run_id).data
assert (data.metrics["iteration"], data.metrics["mine"]) == (last, 1)
assert data.params["env"] == "FlipBit"
"""


def test_the_active_runs_of_a_program_receive_everything_and_stay_open(folder):
    done = subprocess.run(
        [sys.executable, "-c", ACTIVE, folder / "active", repr(FLIP)], cwd=folder, check=False,
        env=environment(folder), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hem: " not in done.stderr
    assert not list(folder.glob("active/wandb/*"))


def test_the_file_of_wandb_is_read_as_far_as_it_goes(folder):
    run = folder / "run"
    first = min(run.glob("wandb/offline-run-*/run-*.wandb"))
    data = first.read_bytes()
    whole = list(_records(data))
    # Without the zeros that fill the last block.
    end = bisect_left(range(len(data)), len(whole), key=lambda cut: len(list(_records(data[:cut]))))
    for cut in {7, 8, 15, *range(end - 40, end), end // 2}:
        found = list(_records(data[:cut]))
        assert found == whole[: len(found)]
        assert len(found) < len(whole)
    identity = json.loads((run / "wandb.json").read_text())["id"]
    assert last_iteration(run / "wandb", identity) == rows(run)[-1]["iteration"]
    assert last_iteration(run / "wandb", "0" * 16) == 0


def test_without_a_network_each_says_a_line_and_the_run_is_complete(tmp_path):
    nowhere = "http://127.0.0.1:9"
    done = program(
        tmp_path, str(tmp_path / "run"), "train", repr(FLIP), WANDB_MODE="online",
        WANDB_BASE_URL=nowhere, MLFLOW_TRACKING_URI=nowhere, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        WANDB_API_KEY="a" * 40,
    )  # fmt: skip
    out, _ = done.communicate(timeout=300)
    assert done.returncode == 0, out
    lines = [line for line in out.splitlines() if line.startswith("hem: ")]
    assert sorted(line.split()[1] for line in lines) == ["mlflow", "wandb"], out
    assert all("failed, and the run goes on without it" in line for line in lines)
    assert rows(tmp_path / "run")[-1]["env_steps"] >= FLIP["env_steps"]


def test_without_a_login_wandb_is_not_begun_and_never_asks(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("wandb.login", lambda *, prompt: prompt)
    monkeypatch.setattr("wandb.init", None)
    with pytest.raises(UserError, match="you are not logged in: run `wandb login`"):
        WandbCallback().open(TrackedRun("0" * 16, "FlipBit", "run", {}, tmp_path))
