"""Small runs for tests: what to ask for, and how to compare what came out."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import jax
import pytest

from hem import api
from hem.cli.main import main
from hem.runs import checkpoint
from hem.runs.experiment import make_experiment
from hem.runs.policy_file import save_policy
from hem.runs.suites import execute
from hem.runs.suites.suite_file import PlannedRun

# About ten iterations of a few milliseconds, an evaluation every other one.
TINY = {
    "episodes_per_iteration": 4,
    "updates_per_iteration": 3,
    "hidden_dims": (8,),
    "batch_size": 8,
    "buffer_episodes": 20,
}
FLIP = TINY | {"bits": 5, "eval_interval": 40, "eval_episodes": 5, "env_steps": 200}
LEARNER = {
    name: TINY[name] for name in ("hidden_dims", "episodes_per_iteration", "buffer_episodes")
}
REACH = TINY | {"horizon": 6, "eval_interval": 48, "eval_episodes": 2, "env_steps": 240}


def flags(settings: dict) -> list[str]:
    """The settings as the command line takes them."""
    words = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def hem(
    *arguments: str | Path, under: tuple[str, ...] = (), **kwargs
) -> subprocess.CompletedProcess:
    """Run the command to its end, ``under`` another program if one is given."""
    command = [*under, sys.executable, "-m", "hem", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, text=True, timeout=300, check=False, **streams | kwargs)


def called(
    *arguments: str | Path, cwd: str | Path = ".", encoding: str = "utf-8"
) -> subprocess.CompletedProcess:
    """Run the command in this process, where it needs none of its own: JAX is imported already."""
    words, status = [*map(str, arguments)], 0
    out, err = (TextIOWrapper(BytesIO(), encoding) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd):
        try:
            main(words)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
    out.seek(0)
    err.seek(0)
    return subprocess.CompletedProcess(words, status, out.read(), err.read())


def without_ray(patch: pytest.MonkeyPatch) -> None:
    """Ray is not found: the runs of a suite follow one another."""
    found = importlib.util.find_spec
    patch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == "ray" else found(name, *rest),
    )


def training_here(patch: pytest.MonkeyPatch) -> None:
    """They are trained in this process, too."""

    def tried(run: PlannedRun) -> str | None:
        done = called(*execute.command(run))
        return done.stderr if done.returncode else None

    without_ray(patch)
    patch.setattr(execute, "_tried", tried)


def start(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen:
    """Start the command, as the leader of its own process group; ``env`` adds to this process's."""
    command = [sys.executable, "-m", "hem", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | (env or {}),
    )


def kill(process: subprocess.Popen) -> None:
    """Take the process away without a word, as the kernel does when memory is out."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def await_rows(run: Path, n: int, process: subprocess.Popen, timeout: float = 120) -> None:
    """Wait until the run has written ``n`` rows of metrics."""
    deadline = time.monotonic() + timeout
    while len(rows(run)) < n:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no metrics"
        time.sleep(0.01)


def rows(run: Path) -> list[dict]:
    """The whole rows of a run's metrics."""
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def final_bits(run: Path) -> bytes:
    """Every array of the last checkpoint."""
    return (checkpoint.listed(run / "checkpoints")[-1] / "state.safetensors").read_bytes()


def without_clock(run: Path) -> list[dict]:
    """The metrics, less what the clock says."""
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows(run)]


def kept(run: Path) -> dict:
    """All that a run is to leave behind however often it was cut off: the rest tells the time."""
    files = [*run.glob("policy.*"), *run.glob("checkpoints/*.json"), *run.glob("checkpoints/*/*")]
    found = {str(path.relative_to(run)): _timeless(path) for path in sorted(files)}
    config = json.loads((run / "config.json").read_text())
    asked = ("env", "algo", "strategy", "env_config", "algo_config", "strategy_config", "run")
    return found | {"metrics": without_clock(run), "asked": [config[name] for name in asked]}


def _timeless(file: Path) -> Any:
    """What a file holds, or the counters of a checkpoint less what the clock says."""
    if file.name != "checkpoint.json":
        return file.read_bytes()
    data = json.loads(file.read_text())
    counters = data.pop("counters")
    return data, {name: value for name, value in counters.items() if not name.endswith("_s")}


def untrained(folder: Path, env: str, **settings) -> Path:
    """A run with a policy that has learned nothing."""
    experiment = make_experiment(env, **LEARNER | settings)
    with api.new_run(experiment, folder):
        pass
    built, algorithm = experiment.build()
    state = jax.jit(algorithm.init)(jax.random.key(0)).policy
    save_policy(folder, algorithm.policy, state, built.task)
    return folder
