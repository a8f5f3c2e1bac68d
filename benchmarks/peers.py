"""Learning beside Stable-Baselines3: the same tasks, budgets and evaluations, three seeds.

A run takes minutes, so runs are stored, in ``experiments/results/peers``. This runs what is
missing, one at a time, and prints the table of docs/results.md:

    python -m benchmarks.peers --only flip-bit-15    # one task; without --only, all of them

``make bench`` reports what is stored.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import tyro

import hem
from benchmarks import Figure
from benchmarks._stable_baselines import Budget, MinusOne, Row, Settings, train
from experiments.curves import RESULTS
from hem.system.atomic_io import write_text
from hem.training.metrics import is_at

STORE = RESULTS / "peers"
SEEDS = (10, 11, 12)  # the presets were chosen with 0, 1 and 2
GOAL = 0.95
PEER, OURS = "Stable-Baselines3", ("hem", "her")
VERSIONS = ("hindsight-em", "stable-baselines3", "torch", "jax", "numpy", "gymnasium", "mujoco")
HEADER = f"""\
| task | env steps | algorithm | success in the end | at the last step | env steps to {GOAL} |
|---|---|---|---|---|---|"""


class Comparison(NamedTuple):
    """A task, and how Stable-Baselines3 is set up for it."""

    name: str  # of its files
    title: str
    env: str
    options: dict[str, int]
    budget: Budget
    horizon: int
    peer: str
    settings: Settings
    gym_id: str | None = None  # where another package has the same task


def comparisons() -> list[Comparison]:
    """All that are made: as many updates a step as hem's presets for HER, or a little more."""
    return [
        *(_flip_bit(bits, steps) for bits, steps in ((10, 10_000), (15, 15_000), (25, 60_000))),
        _continuous("navigation", "Navigation", 10_000, 100),
        _continuous("fetch-reach", "FetchReach-v4", 6_000, 50, "FetchReach-v4"),
    ]


def _flip_bit(bits: int, steps: int) -> Comparison:
    settings = Settings((256,), 256, (4, "step"), 2, 10 * bits, 1 - 1 / bits)
    return Comparison(f"flip-bit-{bits}", f"FlipBit, {bits} bits", "FlipBit", {"bits": bits},
                      Budget(steps, steps // 10, 100), bits, "DQN", settings)  # fmt: skip


def _continuous(
    name: str, env: str, steps: int, eval_episodes: int, gym_id: str | None = None
) -> Comparison:
    horizon = 50
    settings = Settings((256,) * 3, 256, (1, "episode"), 20, 2 * horizon, 1 - 1 / horizon)
    return Comparison(name, env, env, {}, Budget(steps, steps // 10, eval_episodes), horizon,
                      "DDPG", settings, gym_id)  # fmt: skip


def measure() -> list[Figure]:
    """Success in the mean over a run, of hem's algorithms against Stable-Baselines3's."""
    figures = []
    for comparison in filter(is_stored, comparisons()):
        area = {
            algo: float(np.mean([row["eval/success_rate"] for rows in runs for row in rows]))
            for algo, runs in ((algo, _runs(comparison, algo)) for algo in (*OURS, PEER))
        }
        figures += [
            Figure(
                name=f"{algo}, {comparison.title}, {comparison.budget.env_steps:,} steps",
                value=area[algo],
                unit="mean success of all evaluations",
                ratio=area[algo] / area[PEER] if area[PEER] else None,
                against=f"{comparison.peer} + HER of {PEER} ({area[PEER]:.3f})",
            )
            for algo in OURS
        ]
    return figures


def is_stored(comparison: Comparison) -> bool:
    """Whether all runs of a comparison have been made."""
    return all(_file(comparison, algo, s).exists() for algo in (*OURS, PEER) for s in SEEDS)


def complete(comparison: Comparison) -> None:
    """Make and store the runs that are missing."""
    STORE.mkdir(exist_ok=True)
    for algo in (*OURS, PEER):
        for seed in SEEDS:
            file = _file(comparison, algo, seed)
            if not file.exists():
                run = _theirs(comparison, seed) if algo == PEER else _ours(comparison, algo, seed)
                write_text(file, json.dumps(run, separators=(",", ":")) + "\n")


def _runs(comparison: Comparison, algo: str) -> list[list[Row]]:
    return [json.loads(_file(comparison, algo, seed).read_text())["rows"] for seed in SEEDS]


def _file(comparison: Comparison, algo: str, seed: int) -> Path:
    return STORE / f"{comparison.name}-{algo.lower()}-{seed}.json"


def _theirs(comparison: Comparison, seed: int) -> dict[str, Any]:
    def make(ends: bool) -> gymnasium.Env:
        if comparison.gym_id:
            import gymnasium_robotics  # noqa: PLC0415  half a second

            gymnasium.register_envs(gymnasium_robotics)
            return gymnasium.make(comparison.gym_id)  # never ends at success
        made = gymnasium.make(
            f"hem/{comparison.env}-v0", terminates_on_success=ends, **comparison.options
        )
        return MinusOne(made)

    rows = train(make, comparison.settings, comparison.budget, seed)
    config = comparison.settings._asdict() | {"algo": f"{comparison.peer} + HER"}
    return _record(comparison, PEER, config, seed, rows)


def _ours(comparison: Comparison, algo: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = hem.train(
            comparison.env,
            algo=algo,
            run_dir=Path(folder, "run"),
            seed=seed,
            **comparison.budget._asdict(),
            **comparison.options,
        )
        found = [row for row in hem.read_metrics(run.folder) if "eval/success_rate" in row]
        config = json.loads((run.folder / "config.json").read_text())
    rows = [{name: row[name] for name in Row.__annotations__} for row in found]
    kept = {name: config[name] for name in ("strategy", "env_config", "algo_config", "run")}
    return _record(comparison, algo, {"algo": algo} | kept, seed, rows)


def _record(
    comparison: Comparison, library: str, config: dict[str, Any], seed: int, rows: list[Any]
) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in VERSIONS}
    return {
        "library": library if library == PEER else "hem",
        "env": comparison.gym_id or comparison.env,
        "options": comparison.options,
        "budget": comparison.budget._asdict(),
        "config": config,
        "seed": seed,
        "versions": versions,
        "rows": rows,
    }


def table() -> str:
    """What is stored, in Markdown: means over seeds, with ranges in parentheses."""
    kept = filter(is_stored, comparisons())
    return "\n".join([HEADER, *(_line(task, algo) for task in kept for algo in (*OURS, PEER))])


def _line(comparison: Comparison, algo: str) -> str:
    runs = _runs(comparison, algo)
    at = [
        next((row for row in rows if is_at(row["eval/success_rate"], GOAL)), None) for rows in runs
    ]

    steps = [row["env_steps"] for row in at if row is not None]
    all_reached = len(steps) == len(at)
    named = f"{comparison.peer} + HER, {PEER}" if algo == PEER else f"`{algo}`"
    cells = [
        comparison.title,
        f"{comparison.budget.env_steps:,}",
        named,
        _spread([rows[-1]["eval/success_rate"] for rows in runs], ".2f"),
        _spread([rows[-1]["eval/final_success_rate"] for rows in runs], ".2f"),
        _spread(steps, ",.0f") if all_reached else f"{len(steps)} of {len(at)} seeds",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: list[float], form: str) -> str:
    low, high = min(values), max(values)
    return f"{sum(values) / len(values):{form}} ({low:{form}} to {high:{form}})"


def main(only: str = "") -> None:
    """Run what is missing, and print the table of what is stored.

    Args:
        only: Leave out the tasks whose name does not have this in it.
    """
    for comparison in comparisons():
        if only in comparison.name:
            complete(comparison)
    print(table())


if __name__ == "__main__":
    tyro.cli(main)
