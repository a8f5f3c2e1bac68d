"""The learning results of the simulated tasks: hEM from state, from images and to images.

Finished runs are kept; it prints the table of docs/results.md:

    python -m experiments.simulated --out runs/simulated
"""

from __future__ import annotations

from pathlib import Path

import tyro

from experiments.table import SEEDS, TableRow, measure

TASKS = ("PointMass", "Reacher", "FetchReach-v4", "SawyerReach")
IMAGE = {"obs": "image"}
# The preset of Fetch and Sawyer before their episodes went on after success.
ENDS = IMAGE | {
    "terminates_on_success": True,
    "updates_per_iteration": 150,
    "env_steps": 10_000,
    "eval_interval": 1_000,
}
# The preset of Reacher before it read positions from images.
CNN = IMAGE | {
    "encoder": "cnn",
    "frames": 1,
    "terminates_on_success": True,
    "env_steps": 50_000,
    "eval_interval": 10_000,
}
# Two ways around a wall are two modes: reached sooner than by the preset's Gaussian, held less.
GRID = {
    "action_bins": 15,
    "acting_temperature": 0.5,
    "random_eps": 0.19,
    "learning_rate": 3e-3,
    "episodes_per_iteration": 8,
    "updates_per_iteration": 50,
    "env_steps": 15_000,
    "eval_interval": 1_000,
    "eval_episodes": 200,
    "eval_fixed": True,
}


def table() -> list[TableRow]:
    """Every task from state and from images, then images as goals, then the door."""
    rows = [TableRow(f"{env}, state", env, {}, 0.95) for env in TASKS]
    future = {"strategy": "future"}  # the paper's
    rows.append(TableRow("FetchReach-v4, state, future", "FetchReach-v4", future, 0.95))
    grid = "PointMass, state, a grid of actions"
    rows.append(TableRow(grid, "PointMass", GRID, 0.95))
    rows.append(TableRow(f"{grid}, averaged", "PointMass", GRID | {"ema_decay": 0.99}, 0.95))
    rows += [TableRow(f"{env}, 48x48 images", env, IMAGE, 0.9) for env in TASKS]
    rows += [TableRow(f"{env}, 48x48 images, ends at success", env, ENDS, 0.9) for env in TASKS[2:]]
    easy = {"threshold": 0.125}  # 0.05 m
    rows.append(TableRow("Reacher within 0.05 m, 48x48 images", "Reacher", IMAGE | easy, 0.9))
    rows.append(TableRow("Reacher, 48x48 images, CNN", "Reacher", CNN, 0.9))
    rows.append(TableRow("Reacher within 0.05 m, 48x48 images, CNN", "Reacher", CNN | easy, 0.9))
    for size in (48, 84):
        sized = ENDS | {"image_size": size}
        names = f"SawyerReach, {size}x{size} images"
        if size != 48:  # that one is above
            rows.append(TableRow(names, "SawyerReach", sized | {"env_steps": 6_000}, 0.9))
        rows.append(TableRow(f"{names}, goals too", "SawyerReach", sized | {"goal": "image"}, 0.9))
    rows.append(TableRow("PointMaze_UMaze-v3, Gymnasium", "PointMaze_UMaze-v3", {}, 0.8))
    rows.append(TableRow("HandReach-v3, Gymnasium", "HandReach-v3", {}, 0.7))
    mine = {"strategy": "geometric", "distance_discount": 0.9, "env_steps": 60_000}
    rows.append(TableRow("docs/my_env.py:MyEnv", "docs/my_env.py:MyEnv", mine, 0.95))
    return rows


def main(
    out: Path = Path("runs/simulated"), only: str = "", seeds: tuple[int, ...] = SEEDS
) -> None:
    """Measure, and print the table.

    Args:
        out: Where the run folders go.
        only: Measure only the rows whose name has this in it.
        seeds: Of the runs.
    """
    measure(table(), out, only, seeds)


if __name__ == "__main__":
    tyro.cli(main)
