"""What the runs of a suite reached: per variant, over seeds."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hem.errors import UserError, require
from hem.training import metrics
from hem.viz.curve_groups import grouped


class Reached(NamedTuple):
    """What one run reached."""

    success: float  # at its last evaluation
    final_success: float
    best: float
    steps_to: float | None  # steps, or updates of an offline run, until the success rate asked for
    seconds_to: float | None
    env_steps: int
    seconds: float


class Summary(NamedTuple):
    """What a variant's runs reached."""

    name: str
    runs: int
    success: tuple[float, float, float]  # mean, and its 95% bootstrap interval
    best: float
    steps_to: float | None  # mean; None unless all runs got there
    seconds_to: float | None
    arrived: int  # runs that got there
    seconds: float  # mean, in all


def reached(folder: Path, success: float, budget: float = math.inf) -> Reached | None:
    """What the run in ``folder`` reached so far; None before its first evaluation.

    Args:
        folder: a run folder.
        success: what ``steps_to`` and ``seconds_to`` ask for: two evaluations in a row at it.
        budget: steps, or updates of an offline run, where a shorter run would have ended: what
            came later does not count.
    """
    try:
        rows = metrics.read(folder / "metrics.jsonl")
    except UserError:
        return None
    rows = rows[: bisect_left(rows, budget, key=metrics.progress_of) + 1]
    evaluations = [row for row in rows if "eval/success_rate" in row]
    if not evaluations:
        return None
    rates = [row["eval/success_rate"] for row in evaluations]
    first = first_pair(rates, success)
    at = None if first is None else evaluations[first]
    last = evaluations[-1]
    return Reached(
        rates[-1],
        last.get("eval/final_success_rate", np.nan),
        max(rates),
        None if at is None else metrics.progress_of(at),
        None if at is None else at["wall_s"],
        metrics.progress_of(rows[-1]),
        rows[-1]["wall_s"],
    )


def first_pair(rates: Sequence[float], success: float) -> int | None:
    """The index of the first of two evaluations in a row at a success rate; None: never."""
    there = [metrics.is_at(rate, success) for rate in rates]
    return next((i for i in range(len(there) - 1) if there[i] and there[i + 1]), None)


def summarize(name: str, found: Sequence[Reached]) -> Summary:
    """A variant's line, of at least one run."""
    successes = np.array([run.success for run in found])
    steps = [run.steps_to for run in found if run.steps_to is not None]
    seconds = [run.seconds_to for run in found if run.seconds_to is not None]
    everywhere = len(steps) == len(found)
    return Summary(
        name,
        len(found),
        (float(successes.mean()), *interval(successes)),
        float(np.mean([run.best for run in found])),
        float(np.mean(steps)) if everywhere else None,
        float(np.mean(seconds)) if everywhere else None,
        len(steps),
        float(np.mean([run.seconds for run in found])),
    )


def interval(values: np.ndarray) -> tuple[float, float]:
    """A 95% bootstrap interval of the mean of values[N]; below 3 of them, their range."""
    if len(values) < 3:
        return float(values.min()), float(values.max())
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def compare(runs: Sequence[str | Path], success: float = 0.95) -> list[Summary]:
    """A line for each group of runs that differ in their seeds only.

    Args:
        runs: run folders, or folders of run folders.
        success: the rate that "steps to" asks for.

    Raises:
        UserError: something is not a run folder, or has no evaluations.
    """
    require(0 < success <= 1, f"success must be above 0, at most 1, not {success}")
    lines = []
    for name, curves in grouped(runs):
        found = [run for curve in curves if (run := reached(curve.folder, success)) is not None]
        lines.append(summarize(name.replace("\n", " "), found))
    return lines


def markdown(lines: Sequence[Summary], success: float) -> str:
    """The lines as a table in Markdown."""
    heads = ["variant", "runs", "success", "95% interval"]
    heads += [f"steps to {success:g}", f"seconds to {success:g}", "seconds"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for line in lines:
        mean, low, high = line.success
        reached = f"{line.arrived} of {line.runs} runs"
        steps = reached if line.steps_to is None else f"{line.steps_to:,.0f}"
        seconds = "" if line.seconds_to is None else f"{line.seconds_to:,.1f}"
        rows.append(
            f"| {line.name} | {line.runs} | {mean:.3f} | {low:.3f} to {high:.3f} | {steps} "
            f"| {seconds} | {line.seconds:,.1f} |"
        )
    return "\n".join(rows)


def plain(lines: Sequence[Summary]) -> list[dict[str, Any]]:
    """The lines as plain data."""
    return [line._asdict() for line in lines]
