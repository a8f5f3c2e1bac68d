"""Train one planned run to its end, in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import msgspec

from hem.errors import UserError, one_line
from hem.runs.experiment import make_experiment
from hem.runs.manifest import EXPERIMENT, read_manifest
from hem.runs.suites.suite_file import PlannedRun, budget_name
from hem.system.conversion import fill, older
from hem.training import metrics
from hem.training.schedule import RunConfig

POLL_S = 2.0  # between looks at a run that another process trains
HELD = "another process is training"


class Result(NamedTuple):
    """What became of a run."""

    error: str | None  # one line, if it failed; None if it is complete
    seconds: float  # that its processes took


def execute(run: PlannedRun, retries: int) -> Result:
    """Train a run, or resume it; after a failure try again, from its last checkpoint.

    A run that another process trains, such as one whose suite was killed, is waited for.

    Args:
        run: what to train.
        retries: how often to try again.
    """
    began, left = time.monotonic(), retries
    while (error := _tried(run)) is not None:
        if HELD in error:
            time.sleep(POLL_S)
        elif left:
            left -= 1
        else:
            break
    return Result(error, time.monotonic() - began)


def is_complete(run: PlannedRun) -> bool:
    """Whether a run has spent its budget, or an earlier hem has trained it further."""
    name = budget_name(run.settings)
    asked = {name: run.settings[name]} if name in run.settings else {}
    try:
        config = fill(RunConfig, read_manifest(run.folder / "config.json")["run"] | asked)
        rows = metrics.read(run.folder / "metrics.jsonl")
    except UserError:
        return False
    drawn = (run.folder / "curve.png").exists()  # this is what a run does last
    return drawn and bool(rows) and metrics.progress_of(rows[-1]) >= config.budget


def conflict(run: PlannedRun) -> str | None:
    """A setting in which the run in the folder differs from the planned one; None if none does."""
    if not (run.folder / "config.json").exists():
        return None
    return difference(run, read_manifest(run.folder / "config.json"))


def difference(run: PlannedRun, config: Mapping[str, Any]) -> str | None:
    """A setting, other than how long, in which a run's configuration is not the planned one."""
    planned = make_experiment(run.env, run.algo, run.strategy, **run.settings)
    wanted = _flat(msgspec.json.decode(msgspec.json.encode(planned.to_json())))  # as a file has it
    parts = {part: getattr(planned, part) for part in EXPERIMENT}
    unsaid = {part: older(value) for part, value in parts.items() if is_dataclass(value)}
    found = _flat(unsaid) | _flat(config)
    for name in wanted:
        if name != f"run.{budget_name(run.settings)}" and wanted[name] != found.get(name):
            return f"{name.rpartition('.')[2]} is {found.get(name)}, not {wanted[name]}"
    return None


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their place; of a run's ``config.json``, only what an experiment has."""
    found: dict[str, Any] = {}
    for part in EXPERIMENT:
        value = data.get(part)
        values = value if isinstance(value, dict) else {"": value}
        found |= {f"{part}.{name}" if name else part: inner for name, inner in values.items()}
    return found


def command(run: PlannedRun) -> list[str]:
    """The arguments of ``hem`` that train the run, or resume it if it has begun."""
    if (run.folder / "config.json").exists():
        name = budget_name(run.settings)
        more = flag(name, run.settings[name]) if name in run.settings else []
        return ["resume", str(run.folder), "--trust", "--quiet", *more]
    words = ["train", run.env, "--algo", run.algo, "--run-dir", str(run.folder), "--quiet"]
    if run.strategy is not None:
        words += ["--strategy", run.strategy]
    return words + [word for name, value in run.settings.items() for word in flag(name, value)]


def flag(name: str, value: Any) -> list[str]:
    """A setting as the command line takes it."""
    word = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [word if value else word.replace("--", "--no-", 1)]
    if isinstance(value, tuple):
        return [word, *map(str, value)]
    return [f"{word}={value}"]  # in one word: a value may begin with a dash


def _tried(run: PlannedRun) -> str | None:
    """Run the command; what it says when it fails, in one line."""
    try:
        run.folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"cannot write {run.folder.parent}: {error.strerror or error}"
    process = subprocess.Popen(
        [sys.executable, "-m", "hem", *command(run)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is the suite's to handle
    )
    try:
        _, said = process.communicate()
    except BaseException:
        _end(process)
        raise
    if process.returncode == 0:
        return None
    last = next(iter(said.strip().splitlines()[::-1]), "")
    return one_line(last.removeprefix("hem: ")) or f"ended with status {process.returncode}"


def _end(process: subprocess.Popen) -> None:
    """Ask a run to save and stop; it does so within an iteration."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=60)
    process.kill()
    process.wait()
