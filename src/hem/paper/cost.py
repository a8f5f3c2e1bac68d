"""What runs will cost, before they begin: from finished runs of these settings, or from speeds.

``speeds.toml`` has environment steps per second of one core, evaluations and compilation included.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hem.runs.suites.execute import is_complete
from hem.runs.suites.suite_file import PlannedRun
from hem.training import metrics

START_S = 6.0  # imports, and what is compiled or read from the cache
USUAL_SIZE = 48  # pixels, of the table's images
UNKNOWN = 100.0  # steps per second where nothing was measured: rather too few


class Cost(NamedTuple):
    """What is left to do."""

    runs: int
    finished: int
    hours: float  # of one core


def cost(runs: Sequence[PlannedRun]) -> Cost:
    """The cost of distinct runs, without those that have finished."""
    finished = [run for run in runs if is_complete(run)]
    measured: dict[Path, list[float]] = {}
    for run in finished:
        wall_s = metrics.read(run.folder / "metrics.jsonl")[-1]["wall_s"]
        measured.setdefault(run.folder.parent, []).append(wall_s)
    folders = {run.folder for run in finished}
    seconds = [
        sum(known) / len(known) if (known := measured.get(run.folder.parent)) else predicted(run)
        for run in runs
        if run.folder not in folders
    ]
    return Cost(len(runs), len(finished), sum(seconds) / 3600)


def predicted(run: PlannedRun) -> float:
    """Seconds of a run, from the table of speeds."""
    name = f"{run.env}.image" if run.settings.get("obs") == "image" else run.env
    speed = _speeds().get(run.algo, {}).get(name, UNKNOWN)
    larger = (run.settings.get("image_size", USUAL_SIZE) / USUAL_SIZE) ** 2
    shared = run.settings.get("workers", 1)  # of a core
    return START_S + run.settings["env_steps"] / speed * larger * shared


def usual_seeds(run: PlannedRun) -> int:
    """How many seeds a run is worth: 5 below 5 minutes, 3 below an hour, else 1."""
    seconds = predicted(run)
    return 5 if seconds < 300 else 3 if seconds < 3600 else 1


@cache
def _speeds() -> dict[str, dict[str, float]]:
    return tomllib.loads(Path(__file__).with_name("speeds.toml").read_text(encoding="utf-8"))
