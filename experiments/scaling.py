"""Workers: the same learning curve with 1, 2, 4 and 8, and how much seeds differ with 1 and with 8.

Finished runs are kept; it prints the tables of docs/scaling.md:

    python -m experiments.scaling --out runs/scaling

Workers are devices that JAX simulates in one process: equal to processes, to the bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import hem
from experiments.table import spread
from hem.runs.suites.execute import flag
from hem.runs.suites.summary import reached

TASKS: dict[str, dict[str, Any]] = {
    "FlipBit": {"bits": 10, "env_steps": 30_000, "eval_interval": 1_500,
                "episodes_per_iteration": 32},
    "FetchReach-v4": {"env_steps": 6_000, "eval_interval": 500, "episodes_per_iteration": 16},
}  # fmt: skip
# Eight workers that add data, as the paper's do, each with what one has: so few episodes at a time
# that one worker alone is noisy.
ALONE = {"FlipBit": 4, "FetchReach-v4": 2}


def main(out: Path = Path("runs/scaling"), seeds: int = 3, many: int = 8) -> None:
    """Train what is missing, and print the tables.

    Args:
        out: Where the run folders go.
        seeds: Of the learning curves.
        many: Seeds of the comparison of seeds.
    """
    print("| task | workers | success at the end | steps to 0.95 |\n|---|---|---|---|")
    for env, settings in TASKS.items():
        for workers in (1, 2, 4, 8):
            folder = out / f"{env}-{workers}"
            print(
                _line(env, workers, [_run(env, workers, settings, s, folder) for s in range(seeds)])
            )
    print("\n| task | workers | success over env steps, mean | its deviation over seeds |")
    print("|---|---|---|---|")
    for env, settings in TASKS.items():
        for workers in (1, 8):
            own = {"episodes_per_iteration": ALONE[env] * workers, "batch_size": 64 * workers}
            folder = out / f"{env}-more-{workers}"
            runs = [_run(env, workers, settings | own, seed, folder) for seed in range(many)]
            areas = [_area(run) for run in runs]
            print(f"| {env} | {workers} | {np.mean(areas):.3f} | {np.std(areas, ddof=1):.3f} |")


def _line(env: str, workers: int, runs: list[Path]) -> str:
    found = [reached(run, 0.95) for run in runs]
    success = spread([r and r.success for r in found], ".3f")
    steps = spread([r and r.steps_to for r in found], ",.0f")
    return f"| {env} | {workers} | {success} | {steps} |"


def _area(run: Path) -> float:
    """The mean success of a run's evaluations: the area below its learning curve."""
    return float(np.mean([r["eval/success_rate"] for r in hem.read_metrics(run)
                          if "eval/success_rate" in r]))  # fmt: skip


def _run(env: str, workers: int, settings: dict[str, Any], seed: int, out: Path) -> Path:
    """The folder of a finished run, trained if it is not there yet."""
    run = out / f"seed-{seed}"
    if (run / "curve.png").exists():
        return run
    words = ["resume", str(run)] if run.exists() else ["train", env, "--run-dir", str(run)]
    if not run.exists():
        asked = settings | {"workers": workers, "seed": seed}
        words += [word for name, value in asked.items() for word in flag(name, value)]
    devices = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={workers}"}
    subprocess.run([sys.executable, "-m", "hem", *words, "--quiet"], check=True,
                   env=os.environ | devices, stdout=subprocess.DEVNULL)  # fmt: skip
    return run


if __name__ == "__main__":
    tyro.cli(main)
