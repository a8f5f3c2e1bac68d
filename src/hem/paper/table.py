"""The table of an experiment's results, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hem.paper.records import Group, Kept, Record
from hem.paper.statistics import Estimate, estimate
from hem.runs.suites.summary import first_pair

HEADS = ("", "runs", "success: IQM (95% interval)", "at the last step")


def table(record: Record, x: str, success: float) -> str:
    """A line for each line of each place.

    Args:
        record: of at least one run.
        x: the name of the setting along x.
        success: the rate that "steps to" asks for, in two evaluations in a row.
    """
    panels = any(group.panel for group in record.groups)
    xs = any(group.x is not None for group in record.groups)
    heads = [*([""] if panels else []), *([x] if xs else []), *HEADS]
    heads += ["env steps", f"steps to {success:g}", f"seconds to {success:g}", "seconds"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for group in record.groups:
        place = ([group.panel] if panels else []) + ([_number(group.x)] if xs else [])
        rows.append(f"| {' | '.join([*place, *_cells(group, success)])} |")
    return "\n".join(rows)


def last(group: Group, field: str) -> np.ndarray:
    """The last value of a column, for each run: f64[runs]."""
    return np.array([getattr(run, field)[-1] for run in group.runs], float)


def when(runs: Sequence[Kept], field: str, success: float) -> list[float]:
    """A column where each run has reached a success rate; without the runs that have not."""
    found = [(run, first_pair(run.success, success)) for run in runs]
    return [getattr(run, field)[at] for run, at in found if at is not None]


def spread(found: Estimate, form: str = ".2f") -> str:
    """An estimate in words."""
    if np.isnan(found.low):
        return f"{found.mean:{form}}"
    return f"{found.mean:{form}} ({found.low:{form}} to {found.high:{form}})"


def _number(x: float | str | None) -> str:
    """A place on the x axis, in words."""
    return f"{x:g}" if isinstance(x, float | int) else str(x)


def _cells(group: Group, success: float) -> list[str]:
    steps, seconds = (when(group.runs, name, success) for name in ("env_steps", "train_s"))
    arrived = len(steps) == len(group.runs)
    return [
        group.line,
        str(len(group.runs)),
        spread(estimate([last(group, "success")])),
        spread(estimate([last(group, "final_success")])),
        f"{np.max(last(group, 'env_steps')):,.0f}",
        f"{np.mean(steps):,.0f}" if arrived else f"{len(steps)} of {len(group.runs)} runs",
        f"{np.mean(seconds):,.0f}" if arrived else "",
        f"{np.mean(last(group, 'train_s')):,.0f}",
    ]
