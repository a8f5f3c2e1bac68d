"""Learning curves from run folders, with intervals over seeds; needs no display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hem.errors import require
from hem.system.atomic_io import named_errors, write_atomically
from hem.viz.curve_groups import POINT, Curve, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
COLORS = ["#2661a5", "#de4f3d", "#20966c", "#e09f2d", "#7b5ea7", "#35a3bd", "#8c5a3c", "#6b7280"]
DASHES = ["-", "--", "-."]
STYLE: dict[str, Any] = {
    **dict.fromkeys(["text.color", "axes.labelcolor"], "#3a404d"),
    **dict.fromkeys(["xtick.color", "ytick.color", "axes.edgecolor"], "#707887"),
    **dict.fromkeys(["axes.spines.right", "axes.spines.top"], False),
    **{"axes.grid": True, "axes.axisbelow": True, "grid.color": "#e7e9ed"},
    **{"legend.frameon": False, "legend.title_fontsize": 8.5},
    "pdf.fonttype": 42,  # text stays editable as text
}
AXES = {"env_steps": "environment steps", "wall_s": "wall-clock time [s]"}
UPDATES = "updates"  # in place of environment steps, if no run takes any
BOTH = "environment steps; offline, updates"


class Band(NamedTuple):
    """A mean over runs with its interval, on a grid of M points."""

    runs: int
    x: np.ndarray  # f64[M]
    mean: np.ndarray  # f64[M]
    interval: np.ndarray  # f64[2, M], low and high
    whole: int  # the number of first points where no run has ended yet


def curves(
    runs: Sequence[str | Path], out: str | Path, against: Sequence[str] = ("env_steps", "wall_s")
) -> None:
    """Draw evaluation success against environment steps and against time.

    Runs that differ only in their seed become one curve, their mean.

    Args:
        runs: Run folders, or folders with run folders in them.
        out: The image, a .png, .pdf or .svg. It is replaced only by a complete one.
        against: What success is drawn against, one panel each.

    Raises:
        UserError: something is not a run folder, or has no evaluations; or ``out`` cannot be
            written.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    require(suffix in SUFFIXES, f"cannot write {out}: its name must end in {', '.join(SUFFIXES)}")
    require(out.parent.is_dir(), f"cannot write {out}: there is no folder {out.parent}")
    groups = grouped(runs, counted=True)

    from matplotlib import style  # noqa: PLC0415  half a second, paid only for plots

    with style.context(["default", STYLE]):
        figure = _draw(groups, against)
        with named_errors(out):
            write_atomically(out, lambda side: figure.savefig(side, format=suffix[1:], dpi=160))


def band(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> Band:
    """The mean over runs, interpolated between evaluations, from where all runs have one.

    A run that has ended counts with its last value.

    The interval is a 95% bootstrap of the mean, or the range if there are fewer than 3 runs.
    """
    grid = np.unique(np.concatenate(xs))
    grid = grid[grid >= max(x[0] for x in xs)]
    if len(grid) > 1000:  # more than there are pixels
        grid = grid[np.linspace(0, len(grid) - 1, 1000).astype(int)]
    values = np.stack([np.interp(grid, x, y) for x, y in zip(xs, ys, strict=True)])
    runs, interval = len(values), np.stack([values.min(0), values.max(0)])
    if runs >= 3:
        generator = np.random.default_rng(0)
        drawn = generator.multinomial(runs, np.full(runs, 1 / runs), size=2000) / runs
        interval = np.percentile(drawn @ values, [2.5, 97.5], axis=0)
    whole = int(np.searchsorted(grid, min(x[-1] for x in xs), side="right"))
    return Band(runs, grid, values.mean(0), interval, whole)


def _draw(groups: list[tuple[str, list[Curve]]], against: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415

    labels = [label for label, _ in groups]
    width = 9.6 if len(against) > 1 else 6.4
    columns = max(1, min(3, len(labels), int(11.5 * width) // (6 + max(map(len, labels)))))
    lines = sum(label.count("\n") + 1 for label in labels) / columns
    figure = Figure(figsize=(width, 4.3 + 0.22 * lines), layout="constrained")
    panels, bands = figure.subplots(1, len(against), sharey=True, squeeze=False)[0], []
    for panel, name in zip(panels, against, strict=True):
        for number, (label, group) in enumerate(groups):
            xs = [c.x[POINT.index(name)] for c in group]
            bands.append(band(xs, [c.success for c in group]))
            _add(panel, bands[-1], label, number)
        drawn = [curve for _, group in groups for curve in group]
        panel.set(xlabel=axis_label(name, drawn), ylim=(-0.02, 1.02))
        panel.set_xlim(left=0)
        panel.xaxis.set_major_formatter(EngFormatter(sep="") if name == "env_steps" else "{x:,g}")
    panels[0].set(ylabel="success rate in evaluation")
    handles, _ = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    legend.set_title(fill(_caption(bands), int(11.5 * width)))
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is not a formula
    return figure


def axis_label(name: str, curves: Sequence[Curve]) -> str:
    """The label of the axis along which curves are drawn."""
    if name != POINT[0]:
        return AXES[name]
    kinds = {curve.is_offline for curve in curves}
    if len(kinds) > 1:
        return BOTH
    return UPDATES if True in kinds else AXES[name]


def _add(panel: Axes, band: Band, label: str, number: int) -> None:
    color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
    marker = "o" if len(band.x) == 1 else ""  # a line of one point is invisible
    x, mean = band.x[: band.whole], band.mean[: band.whole]
    panel.plot(x, mean, color=color, linestyle=dash, marker=marker, label=label)
    x, mean = (values[max(0, band.whole - 1) :] for values in (band.x, band.mean))
    panel.plot(x, mean, color=color, linestyle=":")
    panel.fill_between(band.x, *band.interval, color=color, alpha=0.16, linewidth=0)


def _caption(bands: list[Band]) -> str:
    """What the bands and dotted lines are, if there are any."""
    most = max(band.runs for band in bands)
    kinds = ["95% bootstrap interval of the mean over runs"] if most > 2 else []
    kinds += ["range of 2 runs"] if any(band.runs == 2 for band in bands) else []
    ended = any(band.whole < len(band.x) for band in bands)
    dots = "; dotted: some runs have ended and count with their last value" if ended else ""
    return f"Band: {' or '.join(kinds)}{dots}" if kinds else ""
