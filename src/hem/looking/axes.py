"""A panel with axes, as SVG that takes its colors from the style of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from hem.looking.markup import element

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 44  # margins, in units of the drawing
TICK = 4.0


class Range(NamedTuple):
    """What an axis shows."""

    low: float
    high: float


class Axes:
    """A drawing area with two scales."""

    def __init__(self, label: str, x: Range, y: Range, size: tuple[int, int] = (380, 250)) -> None:
        """Begin with an empty one.

        Args:
            label: what the picture shows, for those who do not see it.
            x: the horizontal axis.
            y: the vertical axis.
            size: width and height.
        """
        self._x, self._y = _widened(x), _widened(y)
        self._width, self._height = size
        self.root = element("svg", role="img", aria_label=label, class_="chart")
        self.root.set("viewBox", f"0 0 {size[0]} {size[1]}")

    def x(self, value: float) -> float:
        """Where a value lies from the left."""
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (self._width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value lies from the top."""
        low, high = self._y
        return self._height - BOTTOM - (value - low) / (high - low) * (self._height - TOP - BOTTOM)

    def add(self, tag: str, *children: str | Element, **attributes: str | float | None) -> None:
        """Draw an element on top of the others."""
        self.root.append(element(tag, *children, **attributes))

    def box(self, x: Range, y: Range, *children: Element, **attributes: str | float | None) -> None:
        """Draw a rectangle between values."""
        left, right, bottom, top = self.x(x.low), self.x(x.high), self.y(y.low), self.y(y.high)
        size = {"width": round(right - left, 1), "height": round(bottom - top, 1)}
        corner = {"x": round(left, 1), "y": round(top, 1)}
        self.add("rect", *children, **corner, **size, **attributes)

    def grid(
        self, x_name: str, y_name: str, x_ticks: Sequence[tuple[float, str]] | None = None
    ) -> None:
        """Draw lines at ticks, with their labels, and the names of the axes.

        Args:
            x_name: of the horizontal axis.
            y_name: of the vertical axis.
            x_ticks: values with their labels; by default round numbers.
        """
        right, bottom = self._width - RIGHT, self._height - BOTTOM
        for value, text in ticks(self._y):
            at = round(self.y(value), 1)
            self.add("path", d=f"M{LEFT} {at}H{right}", class_="grid")
            self.add("text", text, x=LEFT - 7, y=at + TICK, class_="tick end")
        for value, text in ticks(self._x) if x_ticks is None else x_ticks:
            at = round(self.x(value), 1)
            self.add("path", d=f"M{at} {bottom}v{TICK}", class_="axis")
            self.add("text", text, x=at, y=bottom + 17, class_="tick middle")
        self.add("path", d=f"M{LEFT} {bottom}H{right}", class_="axis")
        middle = (TOP + bottom) / 2
        self.add("text", x_name, x=(LEFT + right) / 2, y=self._height - 6, class_="name middle")
        turned = f"rotate(-90 11 {middle:g})"
        self.add("text", y_name, x=11, y=middle, transform=turned, class_="name middle")

    def path(self, xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray) -> str:
        """A line through points, as the ``d`` of a path; gaps where a point is not finite."""
        words, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if not np.isfinite(y):
                pen = "M"
                continue
            words.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        return "".join(words)


def ticks(shown: Range) -> list[tuple[float, str]]:
    """Round numbers within a range, and their labels."""
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415

    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(*shown)
    slack = 1e-9 * (shown.high - shown.low)
    inside = [float(v) for v in found if shown.low - slack <= v <= shown.high + slack]
    large = EngFormatter(sep="") if max(map(abs, shown)) >= 1000 else "{:.6g}".format
    return [(value, large(value)) for value in inside]


def _widened(shown: Range) -> Range:
    return shown if shown.high > shown.low else Range(shown.low - 0.5, shown.low + 0.5)
