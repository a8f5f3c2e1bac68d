"""Learning with 20 demonstrations, and without: three seeds each, on PointMaze and FetchPush.

Demonstrations are episodes of a policy that hem has trained itself, the teacher: on PointMaze by
hEM, on FetchPush by HER with its preset, which takes up to an hour. It acts greedily, on starts and
goals of its own, and what it fails at is among the demonstrations too. Run

    python -m experiments.demonstrations --out runs/demonstrations --only PointMaze

Finished runs are kept and interrupted ones resumed, so it can be stopped at any time. With
``--share 0.01``, all budgets are a hundredth, to try it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import tyro

import hem
from experiments.table import SEEDS, TableRow, train
from hem.runs.suites.summary import markdown, reached, summarize

TEACHER, DEMONSTRATIONS = 100, 20  # a seed, and a number of episodes
SUCCESS = 0.9  # what "steps to" asks for


class Comparison(NamedTuple):
    """A task, who shows it, and who learns it."""

    env: str
    teacher: str  # an algorithm
    lessons: Mapping[str, int]  # the teacher's budget
    learner: str
    budget: Mapping[str, int]
    settings: Mapping[str, int | float | str] = {}  # of both, where they differ from the preset

    @property
    def name(self) -> str:
        return f"{self.env} {self.learner}"


COMPARISONS = (
    Comparison(
        "PointMaze_UMaze-v3",
        "hem",
        {"env_steps": 100_000, "eval_interval": 20_000},
        "hem",
        {"env_steps": 40_000, "eval_interval": 5_000, "eval_episodes": 30},
        {
            "strategy": "future",
            "terminates_on_success": True,
            "action_noise": 0.5,
            "ema_decay": 0.0,
        },
    ),
    Comparison(
        "FetchPush-v4",
        "her",
        {"env_steps": 400_000, "eval_interval": 20_000},
        "hem",
        {"env_steps": 120_000, "eval_interval": 20_000, "eval_episodes": 100},
    ),
)


def demonstrations(case: Comparison, share: float, out: Path) -> str:
    """The name of the teacher's dataset, made if it is not there yet."""
    name = f"{case.env}/{case.teacher}-v0"
    if not (out / "datasets" / name).exists():
        taught = {**scaled(case.lessons, share), **case.settings}
        lessons = TableRow(case.env, case.env, taught, SUCCESS, case.teacher)
        run = train(lessons, TEACHER, out / "teachers")
        made = hem.export_minari(run, name, DEMONSTRATIONS)
        print(f"{name}: {made.steps} steps, success {made.success_rate:.2f}", flush=True)
    return name


def scaled(budget: Mapping[str, int], share: float) -> dict[str, int]:
    """The budget, less all but a share of its steps and episodes."""
    return {name: max(1, round(share * value)) for name, value in budget.items()}


def measure(case: Comparison, share: float, out: Path, seeds: Iterable[int]) -> list:
    """A line for learning without demonstrations, and one for learning with them."""
    budget, lines = {**scaled(case.budget, share), **case.settings}, []
    shown = {"demos": demonstrations(case, share, out)}
    for words, settings in (("none", {}), (f"{DEMONSTRATIONS} demonstrations", shown)):
        row = TableRow(case.name, case.env, budget | settings, SUCCESS, case.learner)
        runs = [reached(train(row, seed, out), SUCCESS) for seed in seeds]
        found = [run for run in runs if run is not None]
        lines.append(summarize(f"{case.name}, {words}", found))
    return lines


def main(out: Path, only: str = "", share: float = 1.0, seeds: tuple[int, ...] = SEEDS) -> None:
    """Train what is not there yet, and print a table in Markdown.

    Args:
        out: Folder of the runs and datasets.
        only: Leave out the comparisons whose name does not have this in it.
        share: Share of all budgets.
        seeds: Of the learners.
    """
    out = out.resolve()
    os.environ["MINARI_DATASETS_PATH"] = str(out / "datasets")
    chosen = [case for case in COMPARISONS if only in case.name]
    lines = [line for case in chosen for line in measure(case, share, out, seeds)]
    print(markdown(lines, SUCCESS))


if __name__ == "__main__":
    tyro.cli(main)
