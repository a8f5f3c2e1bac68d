"""The learning results of ``docs/results.md``: hEM on every task of the foundation, three seeds.

    python -m experiments.foundation --out runs/foundation

Each run is a process of its own, one after the other, so that seconds are those of a machine with
nothing else to do. Finished runs are kept and interrupted ones resumed, so it can be stopped at
any time. It prints the table in Markdown.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import tyro

import hem

SEEDS = (0, 1, 2)
EPISODES = 500  # of the evaluation of each trained policy


# A larger M-step than the preset's, whose 100 updates of 64 are too noisy for so many bits.
K100 = {"bits": 100, "env_steps": 1_000_000, "updates": 200, "batch_size": 256, "noise": 0.2}

FUTURE = {"strategy": "future"}  # the paper's, where the presets have geometric


class Row(NamedTuple):
    """A line of the table."""

    name: str
    env: str
    settings: dict[str, int | float | str]
    success: float  # what "steps to" and "seconds to" ask for


def table() -> list[Row]:
    """Every task that is measured."""
    rows = [
        Row("FlipBit, K = 25", "FlipBit", {"bits": 25, "env_steps": 200_000}, 0.95),
        Row("FlipBit, K = 50", "FlipBit", {"bits": 50, "env_steps": 500_000}, 0.95),
        Row("FlipBit, K = 100", "FlipBit", K100, 0.95),
        Row("FourRooms", "FourRooms", {"env_steps": 500_000}, 0.95),
        Row("FetchReach-v4", "FetchReach-v4", {"env_steps": 8_000}, 0.95),
        Row(
            "FlipBit, K = 50, future", "FlipBit", {"bits": 50, "env_steps": 500_000} | FUTURE, 0.95
        ),
        Row("FetchReach-v4, future", "FetchReach-v4", {"env_steps": 8_000} | FUTURE, 0.95),
    ]
    budgets = {2: 100_000, 5: 200_000, 10: 150_000, 20: 200_000, 40: 250_000, 80: 200_000}
    for dim, budget in budgets.items():
        for label, threshold in (("0.1", 0.1), ("0.05 √K", 0.05 * math.sqrt(dim))):
            settings = {"dim": dim, "threshold": round(threshold, 4), "env_steps": budget}
            settings |= {"hidden": 512} if dim == 80 else {}
            name = f"Navigation, K = {dim}, threshold {label}"
            rows.append(Row(name, "Navigation", settings, 0.95 if dim <= 10 else 0.9))
    return rows


def main(out: Path = Path("runs/foundation"), only: str = "") -> None:
    """Measure, and print the table.

    Args:
        out: Where the run folders go.
        only: Measure only the rows whose name has this in it.
    """
    print(f"| task | steps | success ({EPISODES} episodes) | at the last step | ", end="")
    print("env steps to | seconds to | seconds in all |\n|---|---|---|---|---|---|---|")
    for row in table():
        if only in row.name:
            print(_line(row, [_train(row, seed, out) for seed in SEEDS]), flush=True)


def _train(row: Row, seed: int, out: Path) -> Path:
    values = "-".join(f"{value}" for value in row.settings.values())
    run = out / f"{row.env}-{values}" / f"seed-{seed}"
    begun = (run / "config.json").exists()
    if begun and (run / "curve.png").exists():
        return run
    command = ["resume", run] if begun else ["train", row.env, "--run-dir", run, "--seed", seed]
    if not begun:
        for name, value in row.settings.items():
            command += [f"--{name.replace('_', '-')}", *[value] * (2 if name == "hidden" else 1)]
    subprocess.run([sys.executable, "-m", "hem", *map(str, command), "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return run


def _line(row: Row, runs: list[Path]) -> str:
    reports = [hem.evaluate(run, EPISODES, seed=1000) for run in runs]
    metrics = [hem.read_metrics(run) for run in runs]
    reached = [
        next((m for m in rows if m.get("eval/success_rate", 0) >= row.success), None)
        for rows in metrics
    ]
    cells = [
        row.name,
        f"{row.settings['env_steps']:,}",
        _spread([report["success_rate"] for report in reports], ".3f"),
        _spread([report["final_success_rate"] for report in reports], ".3f"),
        f"{row.success}: " + _spread([m and m["env_steps"] for m in reached], ",.0f"),
        _spread([m and m["wall_s"] for m in reached], ".1f") if all(reached) else "",
        _spread([rows[-1]["wall_s"] for rows in metrics], ".1f"),
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: list[float | None], form: str) -> str:
    """The mean and the range over seeds; a seed that did not get there is said to be missing."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"{len(known)} of {len(values)} seeds"
    mean = sum(known) / len(known)
    return f"{mean:{form}} ({min(known):{form}} to {max(known):{form}})"


if __name__ == "__main__":
    tyro.cli(main)
