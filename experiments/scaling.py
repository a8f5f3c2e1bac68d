"""Workers: the same learning curve with 1, 2, 4 and 8.

Finished runs are kept; it prints the table of docs/scaling.md:

    python -m experiments.scaling --out runs/scaling

Workers are devices that JAX simulates in one process: equal to processes, to the bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tyro

from experiments.table import spread
from hem.runs.suites.execute import flag
from hem.runs.suites.summary import reached

TASKS: dict[str, dict[str, Any]] = {
    "FlipBit": {"bits": 10, "env_steps": 30_000, "eval_interval": 1_500,
                "episodes_per_iteration": 32, "relative_goals": False, "acting_temperature": 0.0,
                "random_eps": 0.3, "distance_discount": 0.95},
    "FetchReach-v4": {"env_steps": 6_000, "eval_interval": 500, "episodes_per_iteration": 16},
}  # fmt: skip


def main(out: Path = Path("runs/scaling"), seeds: int = 3) -> None:
    """Train what is missing, and print the table.

    Args:
        out: Where the run folders go.
        seeds: Seeds of each line.
    """
    print("| task | workers | success at the end | steps to 0.95 |\n|---|---|---|---|")
    for env, settings in TASKS.items():
        for workers in (1, 2, 4, 8):
            folder = out / f"{env}-{workers}"
            print(
                _line(env, workers, [_run(env, workers, settings, s, folder) for s in range(seeds)])
            )


def _line(env: str, workers: int, runs: list[Path]) -> str:
    found = [reached(run, 0.95) for run in runs]
    success = spread([r and r.success for r in found], ".3f")
    steps = spread([r and r.steps_to for r in found], ",.0f")
    return f"| {env} | {workers} | {success} | {steps} |"


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
