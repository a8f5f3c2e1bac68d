"""Bound and success side by side: two panels for each problem, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hem.paper.theory.gap import Bounded
from hem.viz.plot import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def bound_and_success(histories: Mapping[str, Mapping[str, Sequence[Bounded]]]) -> Figure:
    """For each problem, log J with the bound L below it, and beside them the success J.

    Args:
        histories: by problem, then by the way in which q is chosen.
    """
    from matplotlib import style  # noqa: PLC0415  half a second, paid only for drawing
    from matplotlib.figure import Figure  # noqa: PLC0415

    with style.context(["default", STYLE]):
        figure = Figure(figsize=(9.6, 3.1 * len(histories)), layout="constrained")
        rows = figure.subplots(len(histories), 2, squeeze=False)
        for (left, right), (problem, by_name) in zip(rows, histories.items(), strict=True):
            for color, (name, history) in zip(COLORS, by_name.items(), strict=False):
                _bound(left, history, color)
                _success(right, history, name, color)
            left.set(title=f"{problem}: log J, and L (dashed)", ylabel="log probability")
            right.set(title=f"{problem}: success J", ylim=(-0.02, 1.02))
            right.legend(loc="lower right")
        for axes in rows[-1]:
            axes.set_xlabel("iteration")
    return figure


def _bound(axes: Axes, history: Sequence[Bounded], color: str) -> None:
    x, log_success, bound, _ = np.array(history, float).T
    axes.plot(x, log_success, color=color)
    axes.plot(x, bound, "--", color=color)
    axes.fill_between(x, bound, log_success, where=np.isfinite(bound), color=color, alpha=0.12,
                      linewidth=0)  # fmt: skip


def _success(axes: Axes, history: Sequence[Bounded], name: str, color: str) -> None:
    axes.plot([h.iteration for h in history], [np.exp(h.log_success) for h in history],
              color=color, label=name)  # fmt: skip
