"""A table of learning results: every row trained with three seeds, and measured.

Each run is a process of its own, one after the other, so that seconds are those of a machine with
nothing else to do. Finished runs are kept and interrupted ones resumed, so it can be stopped at
any time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import hem
from hem.training.metrics import is_at

SEEDS = (10, 11, 12)  # presets were chosen with 0, 1 and 2
EPISODES = 500  # of the evaluation of each trained policy
HEADER = f"""\
| task | steps | success ({EPISODES} episodes) | at the last step | env steps to | seconds to | \
seconds in all |
|---|---|---|---|---|---|---|"""


class TableRow(NamedTuple):
    """A line of the table."""

    name: str
    env: str
    settings: Mapping[str, int | float | str | tuple[int, ...]]
    success: float  # what "steps to" and "seconds to" ask for
    algorithm: str = "hem"


def measure(rows: Iterable[TableRow], out: Path, only: str, seeds: Iterable[int] = SEEDS) -> None:
    """Train and evaluate what is not there yet, and print the table in Markdown.

    Args:
        rows: the table's.
        out: where the run folders go.
        only: leave out the rows whose name does not have this in it.
        seeds: of the runs.
    """
    print(HEADER)
    for row in rows:
        if only in row.name:
            print(_line(row, [train(row, seed, out) for seed in seeds]), flush=True)


def folder(row: TableRow, seed: int, out: Path) -> Path:
    """Where the row's run with this seed is, or will be."""
    words = (row.algorithm, row.env, *row.settings.values())
    name = "-".join(map(str, words)).replace(" ", "").replace("/", "_")
    return out / name / f"seed-{seed}"


def is_finished(run: Path) -> bool:
    """Whether a run is there that has come to its end."""
    return (run / "config.json").exists() and (run / "curve.png").exists()


def train(row: TableRow, seed: int, out: Path) -> Path:
    """The folder of the row's finished run with this seed, trained if it is not there yet."""
    run = folder(row, seed, out)
    if is_finished(run):
        return run
    begun = (run / "config.json").exists()
    command = (
        ["resume", run, "--trust"]
        if begun
        else ["train", row.env, "--algo", row.algorithm, "--run-dir", run, "--seed", seed]
    )
    if not begun:
        for name, value in row.settings.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, tuple):
                command += [flag, *value]
            elif isinstance(value, bool):
                command.append(flag if value else flag.replace("--", "--no-", 1))
            else:  # in one word: a value may begin with a dash
                command.append(f"{flag}={value}")
    subprocess.run([sys.executable, "-m", "hem", *map(str, command), "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return run


def _line(row: TableRow, runs: list[Path]) -> str:
    reports = [hem.evaluate(run, EPISODES, seed=1000, trust=True) for run in runs]
    metrics = [hem.read_metrics(run) for run in runs]
    reached = [
        next((m for m in rows if is_at(m.get("eval/success_rate", 0), row.success)), None)
        for rows in metrics
    ]
    budget = hem.Run(runs[0], trust=True).experiment.run.env_steps
    cells = [
        row.name,
        f"{budget:,}",
        spread([report["success_rate"] for report in reports], ".3f"),
        spread([report["final_success_rate"] for report in reports], ".3f"),
        f"{row.success}: " + spread([m and m["env_steps"] for m in reached], ",.0f"),
        spread([m and m["wall_s"] for m in reached], ".1f") if all(reached) else "",
        spread([rows[-1]["wall_s"] for rows in metrics], ".1f"),
    ]
    return "| " + " | ".join(cells) + " |"


def spread(values: list[float | None], form: str) -> str:
    """The mean and the range over seeds; a seed that did not get there is said to be missing."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"{len(known)} of {len(values)} seeds"
    mean = sum(known) / len(known)
    return f"{mean:{form}} ({min(known):{form}} to {max(known):{form}})"
