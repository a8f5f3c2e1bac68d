"""The picture of an experiment: its learning curves, or success against a setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from hem.paper.records import Group, Kept, Record
from hem.paper.statistics import Estimate, estimate, on_grid
from hem.system.atomic_io import named_errors, write_atomically
from hem.viz.plot import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.1, 2.3  # inches of a panel
AGAINST = {"env_steps": "environment steps", "train_s": "seconds, without evaluations"}
LABELS = {"success": "success", "elbo": "lower bound, up to a constant"}
SOLID = "solid: goal reached at any step; dashed: and held at the last step"
INFO = {"Software": None}  # the same picture is the same file, whatever drew it


def draw(record: Record, x: str, measures: Sequence[str], out: Path) -> None:
    """Draw a record of at least one run, a column for each panel.

    Args:
        record: what came out.
        x: env_steps for learning curves, else the setting along x.
        measures: success, and perhaps elbo.
        out: a .png in a folder that exists.

    Raises:
        UserError: it cannot be written.
    """
    from matplotlib import style  # noqa: PLC0415  half a second, paid only for plots

    with style.context(["default", STYLE, {"font.size": 8}]):
        is_curve = all(group.x is None for group in record.groups)
        figure = _curves(record, measures) if is_curve else _points(record, x)
        with named_errors(out):
            write_atomically(
                out, lambda side: figure.savefig(side, format="png", dpi=110, metadata=INFO)
            )


def _curves(record: Record, measures: Sequence[str]) -> Figure:
    rows = [("success", against) for against in AGAINST]
    rows += [("elbo", "env_steps")] if "elbo" in measures else []
    figure, axes, panels = _layout(record, len(rows))
    for column, panel in enumerate(panels):
        for row, (measure, against) in enumerate(rows):
            for group in record.groups:
                if group.panel == panel:
                    _curve(axes[row, column], group, measure, against, _color(record, group.line))
            _dress(axes[row, column], measure, AGAINST[against])
    return _explained(figure, axes, panels, record)


def _curve(axes: Axes, group: Group, measure: str, against: str, color: str) -> None:
    fields = {"success": (("success", "-"), ("final_success", "--"))}.get(
        measure, ((measure, "-"),)
    )
    for field, dash in fields:
        runs = [run for run in group.runs if getattr(run, field) is not None]
        if not runs:
            continue
        x, found = curve(runs, field, against)
        label = group.line if dash == "-" else None
        marker = "o" if len(x) == 1 else ""
        axes.plot(x, found.mean, dash, color=color, label=label, lw=1.3, marker=marker)
        if dash == "-":
            axes.fill_between(x, found.low, found.high, color=color, alpha=0.16, lw=0)


def curve(runs: Sequence[Kept], field: str, against: str) -> tuple[np.ndarray, Estimate]:
    """The interquartile mean of runs at M points: x f64[M] and the estimate there."""
    xs = [np.array(getattr(run, against), float) for run in runs]
    x, values = on_grid(xs, [np.array(getattr(run, field), float) for run in runs])
    return x, estimate([values])


def _points(record: Record, x: str) -> Figure:
    """Success at the end against a setting, and the seconds that it took."""
    figure, axes, panels = _layout(record, 2)
    for column, panel in enumerate(panels):
        groups = [group for group in record.groups if group.panel == panel]
        named = list(dict.fromkeys(str(g.x) for g in groups if isinstance(g.x, str)))
        for number, line in enumerate(dict.fromkeys(group.line for group in groups)):
            mine, color = [g for g in groups if g.line == line], _color(record, line)
            beside = 0.12 * number  # so that names do not hide one another
            at = [named.index(g.x) + beside if isinstance(g.x, str) else g.x for g in mine]
            dash = "" if named else "-"
            for field, mark, faint in (("success", "o" + dash, 1.0), ("final_success", "x", 0.6)):
                found = [estimate([_ends(group, field)]) for group in mine]
                mean = np.array([f.mean for f in found])
                error = np.abs(np.array([[f.low for f in found], [f.high for f in found]]) - mean)
                axes[0, column].errorbar(at, mean, error, fmt=mark, color=color, alpha=faint, ms=4,
                                         label=line if field == "success" else None)  # fmt: skip
            seconds = [np.mean(_ends(group, "train_s")) for group in mine]
            axes[1, column].plot(at, seconds, "o" + dash, color=color, ms=4)
        for row, measure in enumerate(("success", "seconds")):
            _dress(axes[row, column], measure, x)
            if named:
                axes[row, column].set_xticks(range(len(named)), named, rotation=20)
        axes[1, column].set_yscale("log")
    return _explained(
        figure, axes, panels, record, "circles: at any step; crosses: at the last step"
    )


def _ends(group: Group, field: str) -> np.ndarray:
    return np.array([getattr(run, field)[-1] for run in group.runs], float)


def _layout(record: Record, rows: int) -> tuple[Figure, np.ndarray, list[str]]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = list(dict.fromkeys(group.panel for group in record.groups))
    columns = len(panels)
    size = (max(5.5, WIDTH * columns), HEIGHT * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False), panels


def _dress(axes: Axes, measure: str, xlabel: str) -> None:
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415

    axes.set(xlabel=xlabel, ylabel=LABELS.get(measure, measure))
    if measure == "success":
        axes.set_ylim(-0.02, 1.02)
    if xlabel == AGAINST["env_steps"]:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if xlabel in AGAINST.values():
        axes.set_xlim(left=0)


def _explained(
    figure: Figure, axes: np.ndarray, panels: list[str], record: Record, marks: str = SOLID
) -> Figure:
    for column, panel in enumerate(panels):
        axes[0, column].set_title(panel, fontsize=9)
    entries = {}
    for panel in axes[0]:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    legend = figure.legend(entries.values(), entries, loc="outside lower center", ncols=4)
    runs = sorted({len(group.runs) for group in record.groups})
    interval = "95% interval" + (", below 3 their range" if runs[0] < 3 else "")
    words = f"IQM of {' or '.join(map(str, runs))} runs with {interval}; {marks}"
    legend.set_title(fill(words, int(15 * figure.get_figwidth())))  # 15 characters an inch
    return figure


def _color(record: Record, line: str) -> str:
    lines = list(dict.fromkeys(group.line for group in record.groups))
    return COLORS[lines.index(line) % len(COLORS)]
