"""The learning results of the tasks without a camera: hEM on each, three seeds.

Finished runs are kept; it prints the table of docs/results.md:

    python -m experiments.foundation --out runs/foundation
"""

from __future__ import annotations

import math
from pathlib import Path

import tyro

from experiments.table import SEEDS, TableRow, measure

# For 100 bits: more units and a larger batch than the preset's; and what was tried before.
BIG = {
    "env_steps": 600_000,
    "hidden_dims": (512, 512),
    "batch_size": 128,
    "acting_temperature": 0.2,
    "eval_interval": 20_000,
}
WIDE_BATCH = {"env_steps": 1_000_000, "updates_per_iteration": 200, "batch_size": 256}

FUTURE = {"strategy": "future"}  # the paper's, where the presets have geometric
GREEDY = {"acting_temperature": 0.0}
ABSOLUTE = {"relative_goals": False, "random_eps": 0.3}  # with which FlipBit was measured first
FAR = {"distance_discount": 0.95}  # goals farther away than with FlipBit's preset
NEAR = ABSOLUTE | FAR  # with which FlipBit was measured first, with the strategy of the presets
HALF = {"env_steps": 250_000}
SHORT = {"distance_weight": 1.0}  # steps that shorten the way count more


def flip_bit(label: str, settings: dict[str, object]) -> TableRow:
    """A row of FlipBit; its label begins with the number of bits."""
    bits = int(label.partition(",")[0])
    return TableRow(f"FlipBit, K = {label}", "FlipBit", {"bits": bits} | settings, 0.95)


def table() -> list[TableRow]:
    """Every task that is measured."""
    rows = [
        flip_bit("25", {"env_steps": 100_000}),
        flip_bit("50", {"env_steps": 200_000}),
        flip_bit("100", BIG),
        flip_bit("25, short ways", {"env_steps": 100_000} | SHORT),
        flip_bit("50, farther goals", {"env_steps": 200_000} | FAR),
        flip_bit("50, farther goals, short ways", {"env_steps": 200_000} | FAR | SHORT),
        flip_bit("25, absolute goals", {"env_steps": 200_000} | NEAR),
        flip_bit("50, absolute goals", {"env_steps": 300_000} | NEAR),
        flip_bit("25, absolute goals, greedy", {"env_steps": 200_000} | NEAR | GREEDY),
        flip_bit("50, absolute goals, greedy", {"env_steps": 500_000} | NEAR | GREEDY),
        flip_bit("100, absolute goals, greedy", WIDE_BATCH | NEAR | GREEDY | {"random_eps": 0.2}),
        flip_bit(
            "50, future, absolute goals, greedy",
            {"env_steps": 500_000} | FUTURE | ABSOLUTE | GREEDY,
        ),
        TableRow("FourRooms", "FourRooms", {"env_steps": 500_000}, 0.95),
        TableRow("FourRooms, half the steps", "FourRooms", HALF, 0.95),
        TableRow("FourRooms, half the steps, short ways", "FourRooms", HALF | SHORT, 0.95),
    ]
    budgets = {2: 100_000, 5: 200_000, 10: 150_000, 20: 200_000, 40: 250_000, 80: 200_000}
    for dim, budget in budgets.items():
        for label, threshold in (("0.1", 0.1), ("0.05 √K", 0.05 * math.sqrt(dim))):
            settings = {"dim": dim, "threshold": round(threshold, 4), "env_steps": budget}
            settings |= {"hidden_dims": (512, 512)} if dim == 80 else {}
            name = f"Navigation, K = {dim}, threshold {label}"
            rows.append(TableRow(name, "Navigation", settings, 0.95 if dim <= 10 else 0.9))
    far = {"dim": 20, "threshold": 0.1, "env_steps": 150_000} | SHORT
    rows.append(TableRow("Navigation, K = 20, threshold 0.1, short ways", "Navigation", far, 0.9))
    return rows


def main(
    out: Path = Path("runs/foundation"), only: str = "", seeds: tuple[int, ...] = SEEDS
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
