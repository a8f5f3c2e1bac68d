"""The numbers of a report: large ones for one group of runs, a table for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hem.looking.findings import Findings, Rate
from hem.looking.markup import Element, element, table

NOTHING = "\N{EN DASH}"


class Figure(NamedTuple):
    """A number with its name."""

    name: str
    value: str
    note: str = ""


def summary(groups: Sequence[Findings], success: float) -> Element:
    """The numbers of all groups."""
    figures = [_figures(group, success) for group in groups]
    if len(groups) == 1:
        tiles = (
            element(
                "div",
                element("dt", figure.name),
                element("dd", figure.value, element("small", figure.note)),
            )
            for figure in figures[0]
        )
        return element("dl", *tiles, class_="tiles")
    heads = ["runs", *(figure.name for figure in figures[0])]
    rows = [
        [group.name, *(_cell(figure) for figure in found)]
        for group, found in zip(groups, figures, strict=True)
    ]
    return table("What the runs reached", heads, rows)


def measured(groups: Sequence[Findings], episodes: int, seed: int, success: float) -> str:
    """How the numbers came about."""
    single = all(len(group.curves) == 1 for group in groups)
    over = "" if single else " Of several runs: the mean, and a bootstrap interval over them."
    over = over if all(len(group.curves) != 2 for group in groups) else f"{over} Of two: the range."
    reached = f" {success:g} counts as reached when two evaluations in a row are at it."
    if not episodes:
        return f"Success in the last evaluation of each run.{over}{reached}"
    return (
        f"Success of each run's best policy, without exploration, on the same {episodes:,} goals "
        f"that no training saw (seed {seed}). Intervals of one run: Wilson, 95%.{over}{reached}"
    )


def _figures(group: Findings, success: float) -> list[Figure]:
    runs = group.reached
    steps, seconds = (
        _mean_to([getattr(run, name) for run in runs], unit)
        for name, unit in (("steps_to", "steps"), ("seconds_to", "seconds"))
    )
    trained = float(np.mean([run.env_steps for run in runs]))
    took = float(np.mean([run.seconds for run in runs]))
    return [
        _rate("Success at any step", group.rate("success")),
        _rate("At the last step", group.rate("final_success")),
        Figure(f"Steps to {success:g}", *steps),
        Figure(f"Seconds to {success:g}", *seconds),
        Figure("Trained for", f"{trained:,.0f}", f"steps, {took:,.0f} s"),
    ]


def _rate(name: str, rate: Rate) -> Figure:
    if not np.isfinite(rate.mean):
        return Figure(name, NOTHING, "not measured")
    if rate.interval is None:
        return Figure(name, f"{rate.mean:.3f}", "last evaluation")
    low, high = rate.interval
    return Figure(name, f"{rate.mean:.3f}", f"{low:.3f} to {high:.3f}")


def _mean_to(values: Sequence[float | None], unit: str) -> tuple[str, str]:
    """A mean over runs, and what it is; without one unless all runs got there."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        many = f"{len(there)} of {len(values)} runs got there" if len(values) > 1 else ""
        return NOTHING, many or "not reached"
    mean = float(np.mean(there))
    return (f"{mean:,.0f}" if unit == "steps" or mean >= 100 else f"{mean:.1f}"), unit


def _cell(figure: Figure) -> Element:
    return element("span", figure.value, element("small", figure.note))
