"""The learning curves of the documentation: it trains what is missing, and stores the curves.

Finished runs are kept; the curves go to ``experiments/results``, from which ``make figures`` draws:

    python -m experiments.curves --out runs/curves    # an hour
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import tyro

import hem
from experiments.table import TableRow, train
from hem.runs.manifest import EXPERIMENT

SEEDS = (10, 11, 12)  # the presets were chosen with 0, 1 and 2
RESULTS = Path(__file__).parent / "results"
REACHING = ("hem", "her", "gcsl")
ALL = ("hem", "her", "hem-her", "gcsl", "hpg", "reinforce", "mpo")


class Comparison(NamedTuple):
    """Algorithms in one environment."""

    name: str  # of its files
    env: str
    settings: dict[str, int]
    algorithms: tuple[str, ...]


def comparisons() -> list[Comparison]:
    """All that are shown."""
    return [
        Comparison(
            "flip-bit-8", "FlipBit", {"bits": 8, "env_steps": 40_000, "eval_interval": 2_000}, ALL
        ),
        Comparison(
            "flip-bit-25",
            "FlipBit",
            {"bits": 25, "env_steps": 150_000, "eval_interval": 5_000},
            ALL[:3],
        ),
        Comparison(
            "navigation", "Navigation", {"env_steps": 30_000, "eval_interval": 1_000}, REACHING
        ),
        Comparison(
            "fetch-reach", "FetchReach-v4", {"env_steps": 6_000, "eval_interval": 500}, REACHING
        ),
    ]


def stored(folder: Path) -> dict[str, Any]:
    """What is kept of a run: its configuration, versions and evaluations."""
    config = json.loads((folder / "config.json").read_text())
    rows = [row for row in hem.read_metrics(folder) if "eval/success_rate" in row]
    kept = ("env_steps", "wall_s", "eval/success_rate", "eval/final_success_rate")
    return {
        "config": {name: config[name] for name in EXPERIMENT},
        "versions": config["versions"],
        "rows": [{name: row[name] for name in kept} for row in rows],
    }


def main(out: Path = Path("runs/curves")) -> None:
    """Train what is missing, and store the curves.

    Args:
        out: Where the run folders go.
    """
    for comparison in comparisons():
        rows = [
            TableRow(f"{algo}, {comparison.env}", comparison.env, comparison.settings, 0.95, algo)
            for algo in comparison.algorithms
        ]
        runs = [stored(train(row, seed, out)) for row in rows for seed in SEEDS]
        lines = ",\n".join(json.dumps(run, separators=(",", ":")) for run in runs)
        (RESULTS / f"{comparison.name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    tyro.cli(main)
