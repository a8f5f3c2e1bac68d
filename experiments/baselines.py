"""The learning results of the baselines: HER, its hybrid with hEM, HPG, GCSL, REINFORCE and MPO.

Finished runs are kept; it prints the tables of docs/results.md:

    python -m experiments.baselines --out runs/baselines
"""

from __future__ import annotations

from pathlib import Path

import tyro

import hem
from experiments.table import EPISODES, SEEDS, TableRow, measure, spread, train

REACHING = ("Navigation", "PointMass", "Reacher", "FetchReach-v4", "SawyerReach")
REWARDS = {
    "-1/0": {},
    "0/1, range": {"reward_scheme": "0/1"},
    "0/1, baselines": {"reward_scheme": "0/1", "target_clip": "baselines"},
}
OWN = {"relabel_ratio": 0.0}  # goals as they were desired
ZERO = {"zero_start": True}
FILTERS = {"": {}, ", filter": {"q_filter": True}}


def table() -> list[TableRow]:
    """Success of every baseline."""
    rows = [
        TableRow("HER, FlipBit, K = 25", "FlipBit", {}, 0.95, "her"),
        TableRow(
            "HER, FlipBit, K = 50", "FlipBit", {"bits": 50, "env_steps": 300_000}, 0.95, "her"
        ),
    ]
    for bits in (8, 11, 13, 15):
        name = f"DQN without HER, FlipBit, K = {bits}"
        rows.append(TableRow(name, "FlipBit", {"bits": bits} | OWN, 0.95, "her"))
    for named, settings in FILTERS.items():
        rows.append(
            TableRow(f"hybrid, FlipBit, K = 25{named}", "FlipBit", settings, 0.95, "hem-her")
        )
    for env in REACHING:
        for reward, settings in REWARDS.items():
            rows.append(TableRow(f"HER, {env}, {reward}", env, settings, 0.95, "her"))
    rows.append(TableRow("GCSL, FetchReach-v4", "FetchReach-v4", {}, 0.95, "gcsl"))
    rows.append(TableRow("GCSL, Navigation, K = 2", "Navigation", {}, 0.95, "gcsl"))
    rows.append(TableRow("GCSL, FlipBit, K = 25", "FlipBit", {}, 0.95, "gcsl"))
    for bits, steps in {5: 20_000, 8: 40_000, 14: 60_000}.items():
        settings = {"bits": bits, "env_steps": steps}
        rows.append(TableRow(f"MPO, FlipBit, K = {bits}", "FlipBit", settings, 0.95, "mpo"))
    in_hindsight = {"bits": 8, "env_steps": 40_000, "relabel_ratio": 0.8}
    rows.append(
        TableRow("MPO on goals of HER, FlipBit, K = 8", "FlipBit", in_hindsight, 0.95, "mpo")
    )
    for bits in (3, 5, 8):
        name = f"REINFORCE, FlipBit, K = {bits}"
        rows.append(TableRow(name, "FlipBit", {"bits": bits}, 0.95, "reinforce"))
    return rows


def gradients() -> list[TableRow]:
    """HPG, which is judged by its own reward: the steps left when the goal is reached."""
    return [
        TableRow("HPG, FlipBit, K = 8, from zeros", "FlipBit", {"bits": 8} | ZERO, 0.95, "hpg"),
        TableRow(
            "HPG, FlipBit, K = 16, from zeros",
            "FlipBit",
            {"bits": 16, "env_steps": 240_000} | ZERO,
            0.95,
            "hpg",
        ),
        TableRow("HPG, FourRooms", "FourRooms", {}, 0.95, "hpg"),
    ]


def objects() -> list[TableRow]:
    """Tasks with an object: HER, and the hybrid with several weights, with and without filter.

    *ahead*: without the steps at which relabeled goals are achieved already.
    """
    rows = [TableRow("HER, FetchPush-v4", "FetchPush-v4", {}, 0.9, "her")]
    usual = {"skip_achieved": False, "env_steps": 400_000, "eval_interval": 20_000}
    for eta in (0.01, 0.1, 1.0):
        for named, settings in FILTERS.items():
            name = f"hybrid, FetchPush-v4, eta {eta:g}{named}"
            rows.append(
                TableRow(name, "FetchPush-v4", {"eta": eta} | settings | usual, 0.9, "hem-her")
            )
    ahead = {"skip_achieved": True, "env_steps": 180_000, "eval_interval": 10_000}
    for algo, name in (("her", "HER"), ("hem-her", "hybrid")):
        rows.append(TableRow(f"{name}, FetchPush-v4, ahead", "FetchPush-v4", ahead, 0.9, algo))
    for env in ("FetchPickAndPlace-v4", "FetchSlide-v4"):
        rows.append(TableRow(f"HER, {env}", env, {}, 0.9, "her"))
        rows.append(TableRow(f"hybrid, {env}, eta 0.1", env, {"eta": 0.1}, 0.9, "hem-her"))
    return rows


def main(
    out: Path = Path("runs/baselines"), only: str = "", seeds: tuple[int, ...] = SEEDS
) -> None:
    """Measure, and print the tables.

    Args:
        out: Where the run folders go.
        only: Measure only the rows whose name has this in it.
        seeds: Of the runs.
    """
    measure([*table(), *gradients(), *objects()], out, only, seeds)
    judged = [row for row in gradients() if only in row.name]
    if judged:
        print("\n| task | return |\n|---|---|")
    for row in judged:
        print(f"| {row.name} | {spread([_return(row, seed, out) for seed in seeds], '.2f')} |")


def _return(row: TableRow, seed: int, out: Path) -> float:
    """The mean of the steps left at success, this one included, over fresh episodes."""
    run = train(row, seed, out)
    report = hem.evaluate(run, EPISODES, seed=1000)
    horizon = hem.Run(run).experiment.build()[0].task.horizon
    # An episode that fails counts as long as the horizon, so that one step would seem left.
    return horizon + 1 - report["ep_len_mean"] - (1 - report["success_rate"])


if __name__ == "__main__":
    tyro.cli(main)
