"""The pictures of a report: learning curves, a map of goals, and success against distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from hem.looking import goals
from hem.looking.axes import Axes, Range
from hem.looking.goals import Judged
from hem.looking.markup import element
from hem.viz.plot import COLORS, DASHES, Band

UNIT = Range(0, 1)
MARGIN = 0.04  # of a map, beside its outermost goals
DARKEST = 0.55  # opacity of a cell where all fail
SHAPES = {"hit": "h0", "part": "h0", "miss": "m-2.6 -2.6l5.2 5.2m0 -5.2l-5.2 5.2"}  # of the marks


class Series(NamedTuple):
    """A curve of a panel."""

    name: str
    number: int  # of its color
    band: Band


def color_class(number: int) -> str:
    """The class of the page's style that has the color of the group with this number."""
    return f"c{number % len(COLORS)}"


def dash_class(number: int) -> str:
    """The class with its dashes: there are more groups than colors."""
    return f"d{number // len(COLORS) % len(DASHES)}"


def curves(series: Sequence[Series], x_name: str, y_name: str) -> Element:
    """Success against steps or seconds, with intervals; dotted where some runs have ended."""
    ends = [f"{s.name}: {s.band.mean[-1]:.2f} in the end" for s in series]
    label = f"{y_name} against {x_name}. {'. '.join(ends)}."
    right = max(float(s.band.x[-1]) for s in series)
    axes = Axes(label, Range(0, right), UNIT)
    axes.grid(x_name, y_name)
    for one in series:
        band, color = one.band, color_class(one.number)
        low, high = band.interval
        if band.runs > 1:
            there, back = axes.path(band.x, high), axes.path(band.x[::-1], low[::-1])
            axes.add("path", d=f"{there}{back.replace('M', 'L', 1)}Z", class_=f"band {color}")
        whole = axes.path(band.x[: band.whole], band.mean[: band.whole])
        rest = slice(max(0, band.whole - 1), None)
        axes.add("path", d=whole, class_=f"line {color} {dash_class(one.number)}")
        axes.add("path", d=axes.path(band.x[rest], band.mean[rest]), class_=f"line {color} dots")
        if len(band.x) == 1:  # a line of one point is invisible
            x, y = axes.x(band.x[0]), axes.y(band.mean[0])
            axes.add("circle", cx=x, cy=y, r=3.5, class_=f"dot {color}")
    return axes.root


def goal_map(judged: Judged, x: int, y: int, label: str) -> Element:
    """Goals in two of their coordinates, and how often each was reached, over shaded cells."""
    spots, rate = goals.rate_by_goal(judged, x, y)
    low, high = spots.min(0).astype(float), spots.max(0).astype(float)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    axes = Axes(label, Range(low[0], high[0]), Range(low[1], high[1]), size=(380, 340))
    for cell in goals.cells(judged, x, y):
        shade = round(DARKEST * (1 - cell.success), 3)
        axes.box(Range(*cell.x), Range(*cell.y), class_="cell", fill_opacity=shade)
    axes.grid(f"goal[{x}]", f"goal[{y}]")
    places = [f"M{axes.x(a):.1f} {axes.y(b):.1f}" for a, b in spots.astype(float)]
    for kind, chosen in marked(rate).items():
        shapes = [at + SHAPES[kind] for at, is_in in zip(places, chosen, strict=True) if is_in]
        axes.add("path", d="".join(shapes), class_=f"spot {kind}")
    return axes.root


def marked(rate: np.ndarray) -> dict[str, np.ndarray]:
    """The marks of a map that goals with these success rates [K] have, and which have it."""
    kinds = {"hit": rate == 1, "part": (rate > 0) & (rate < 1), "miss": rate == 0}
    return {kind: chosen for kind, chosen in kinds.items() if chosen.any()}


def mark(kind: str) -> Element:
    """A mark of the map, for its legend."""
    shape = element("path", d=f"M6 6{SHAPES[kind]}", class_=f"spot {kind}")
    drawing = element("svg", shape, class_="mark", aria_hidden="true")
    drawing.set("viewBox", "0 0 12 12")
    return drawing


def distance_bars(judged: Judged) -> Element:
    """Success against the distance to the goal at the start, a bar for each range of it."""
    found = goals.bars(judged)
    binary = goals.is_binary(judged)
    name = "bits that differ at the start" if binary else "distance from start to goal"
    said = [f"{bar.success:.2f} at {bar.low:.3g}" for bar in found]
    axes = Axes(f"Success against {name}: {', '.join(said)}.", Range(0, len(found)), UNIT)
    if found[0].low == found[0].high:
        marks = [(i + 0.5, f"{bar.low:.3g}") for i, bar in enumerate(found)]
    else:
        edges = [*(bar.low for bar in found), found[-1].high]
        marks = [(float(i), f"{edge:.2g}") for i, edge in enumerate(edges)][::2]
    axes.grid(name, "success at any step", marks)
    for i, bar in enumerate(found):
        note = element("title", f"{bar.success:.3f} of {bar.episodes} episodes")
        axes.box(Range(i + 0.14, i + 0.86), Range(0, bar.success), note, class_="bar")
        middle, (low, high) = axes.x(i + 0.5), bar.interval
        axes.add("path", d=f"M{middle:.1f} {axes.y(low):.1f}V{axes.y(high):.1f}", class_="whisker")
    return axes.root
