"""Images of the small environments: u8[320, 320, 3], drawn without a display.

All share a palette: blue is the agent, green is the goal, red is what is still wrong. All frames of
an environment have the same size and layout, so that they form a video. Lengths are in pixels, x
to the right and y down; pixel i covers i to i + 1. A canvas is f32[H, W, 3].
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 320  # even, as video codecs require
INNER = 264  # width and height of the image itself; the rest is margin and caption
MIDDLE = (160.0, 150.0)
CAPTION = 301.0  # y

PAPER, WHITE, LINE, FAINT = (250, 249, 246), (255, 255, 255), (213, 217, 224), (112, 120, 135)
AGENT, GOAL, WRONG, WALL = (38, 97, 165), (32, 150, 108), (222, 79, 61), (78, 88, 108)
PALE, GRID = (215, 236, 229), (232, 234, 238)
# Fill and outline of a cell: off, on, off but wrong, on but wrong, off in the goal, on in the goal.
CELLS = [(WHITE, LINE), (AGENT, AGENT), (WHITE, WRONG), (WRONG, WRONG), (WHITE, LINE), (GOAL, GOAL)]

Color = tuple[float, float, float]


def cells(rows: Sequence[np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Rows of bits below each other, wrapped into several lines if there are many.

    Args:
        rows: i8[K] each, 0 or 1. The last one is the goal; cells that differ from it are red.
        labels: A short label for each row.
    """
    bits = np.stack(rows).astype(np.int64)
    wrong = bits != bits[-1]
    kinds = bits + 2 * wrong
    kinds[-1] += 4
    height, width = bits.shape
    columns, pitch = _wrap(height, width)
    lines, gap = -(-width // columns), max(3, pitch * 3 // 4)
    step = height * pitch + gap
    left = 58 + (SIZE - 58 - 20 - columns * pitch) // 2
    top = int(MIDDLE[1]) - (lines * step - gap) // 2

    canvas = np.full((SIZE, SIZE, 3), PAPER, np.float32)
    for y, start in zip(range(top, SIZE, step), range(0, width, columns), strict=False):
        _tile(canvas, left, y, _cell_tiles(pitch), kinds[:, start : start + columns])
        # Smaller rows leave no room for labels; their colors suffice.
        for row, label in enumerate(labels if pitch >= 9 else ()):
            _write(canvas, left - 8, y + (row + 0.5) * pitch, label, align=1)
    count = int(wrong.sum())
    return _finish(canvas, count == 0, f"{count} of {wrong[:-1].size} wrong")


def points(position: np.ndarray, goal: np.ndarray, threshold: float) -> np.ndarray:
    """A point and its goal in [-1, 1]^K.

    The first two dimensions are a map, on which the circle is the threshold. Each further one is
    a vertical track below it, with a red bar from the position to the goal.

    Args:
        position: f32[K].
        goal: f32[K].
        threshold: Euclidean distance to the goal that counts as success, in units of the cube.
    """
    place, aim = np.asarray(position, np.float64), np.asarray(goal, np.float64)
    more = len(place) > 2
    x, y = MIDDLE[0], MIDDLE[1] - (38 if more else 0)
    half_x = 94 if more else INNER / 2
    half_y = 36 if len(place) == 1 else half_x
    # Leave room for the whole dot even if the point touches the wall. Up is positive.
    scale = (half_x - 12) * np.array([1, -1])
    near, far = (np.append(p, 0)[:2] * scale + (x, y) for p in (place, aim))

    canvas = _card((x, y, half_x, half_y), WHITE, LINE).copy()
    _box(canvas, (x, y, 0.5, half_y), 0, LINE)
    _box(canvas, (x, y, half_x, 0.5), 0, LINE)
    left, top = int(x - half_x) + 2, int(y - half_y) + 2
    inside = canvas[top : int(y + half_y) - 2, left : int(x + half_x) - 2]
    _goal(inside, far[0] - left, far[1] - top, threshold * scale[0])
    _agent(canvas, near[0], near[1], 7)
    if more:
        _tracks(canvas[214:282], place[2:], aim[2:])
    distance = float(np.linalg.norm(place - aim))
    return _finish(canvas, distance < threshold, f"distance {distance:.2f}", legend=True)


def maze(plan: np.ndarray, position: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """A map of cells, the agent and its goal.

    Args:
        plan: bool[R, C], true for free cells.
        position: Row and column, [2].
        goal: Row and column, [2].
    """
    pitch = INNER // max(plan.shape)
    height, width = (pitch * n for n in plan.shape)
    left, top = int(MIDDLE[0] - width / 2), int(MIDDLE[1] - height / 2)
    tiles = np.full((2, pitch, pitch, 3), WALL, np.float32)
    tiles[1] = WHITE
    tiles[1, -1] = tiles[1, :, -1] = GRID

    frame = left + width / 2, top + height / 2, width / 2 + 6, height / 2 + 6
    canvas = _card(frame, WALL, WALL).copy()
    _tile(canvas, left, top, tiles, np.asarray(plan, np.int64))
    for mark, (row, column), radius in [(_goal, goal, 0.4), (_agent, position, 0.27)]:
        mark(canvas, left + (column + 0.5) * pitch, top + (row + 0.5) * pitch, radius * pitch)
    return _finish(canvas, bool(np.array_equal(position, goal)), "", legend=True)


@functools.cache
def _card(box: tuple, fill: Color, edge: Color) -> np.ndarray:
    """A canvas with only a large box on it, which takes longer to draw than all the rest."""
    canvas = np.full((SIZE, SIZE, 3), PAPER, np.float32)
    _box(canvas, box, 8, fill)
    _box(canvas, box, 8, edge, stroke=1.5)
    return canvas


@functools.cache
def _wrap(height: int, width: int) -> tuple[int, int]:
    """Cells per line and pixels per cell: few lines unless that makes the cells tiny."""

    def size(lines: int) -> int:
        return max(1, min(242 // -(-width // lines), int(256 / lines / (height + 0.75)), 40))

    ways = range(1, width + 1)
    lines = next((n for n in ways if size(n) >= 16), max(ways, key=size))
    return -(-width // lines), size(lines)


def _finish(canvas: np.ndarray, reached: bool, text: str, legend: bool = False) -> np.ndarray:
    """Write the caption; ``text`` is used until the goal is reached."""
    for x, mark, name in [(34, _agent, "agent"), (94, _goal, "goal")] if legend else []:
        mark(canvas, x, CAPTION, 5)
        _write(canvas, x + 10, CAPTION, name)
    text, color = ("goal reached", GOAL) if reached else (text, FAINT)
    _write(canvas, SIZE - 28, CAPTION, text, align=1, color=color)
    return (canvas + 0.5).astype(np.uint8)


def _agent(canvas: np.ndarray, x: float, y: float, radius: float) -> None:
    _box(canvas, (x, y, radius + 1.5, radius + 1.5), radius + 1.5, WHITE)
    _box(canvas, (x, y, radius, radius), radius, AGENT)


def _goal(canvas: np.ndarray, x: float, y: float, radius: float) -> None:
    _box(canvas, (x, y, radius, radius), radius, PALE)
    _box(canvas, (x, y, radius, radius), radius, GOAL, stroke=1.5)
    _box(canvas, (x, y, 2, 2), 2, GOAL)


def _tracks(canvas: np.ndarray, position: np.ndarray, goal: np.ndarray) -> None:
    """A vertical track for each of f64[D] numbers in [-1, 1], side by side."""
    pitch = min(24.0, INNER / len(goal))
    left = MIDDLE[0] - pitch * len(goal) / 2
    # Every column of pixels draws its own dimension: the cost does not depend on their number.
    own = np.clip(((np.arange(SIZE) + 0.5 - left) // pitch).astype(int), 0, len(goal) - 1)
    x, y = left + (own + 0.5) * pitch, len(canvas) / 2
    near, far = (y - (y - 5) * values[own] for values in (position, goal))
    _box(canvas, (x, y, min(1.0, pitch / 6), y), 1, LINE)
    _box(canvas, (x, (near + far) / 2, min(2.0, pitch / 3), abs(near - far) / 2), 0, WRONG)
    _box(canvas, (x, far, min(6.0, pitch * 0.42), 1.25), 1, GOAL)
    _box(canvas, (x, near, *2 * [min(4.0, pitch * 0.42)]), min(4.0, pitch * 0.42), AGENT)


def _box(canvas: np.ndarray, box: tuple, radius: float, color: Color, stroke: float = 0) -> None:
    """Paint a box with round corners, or its outline ``stroke`` wide, with smooth edges.

    ``box`` is the center's x and y, and half the width and height. All but the half width may be
    f64[W]: then each column of the canvas has its own box.
    """
    x, y, half_x, half_y = box
    (high, wide), many = canvas.shape[:2], np.ndim(x) > 0
    rows = slice(max(0, int(np.min(y - half_y)) - 1), max(0, int(np.max(y + half_y)) + 2))
    columns = slice(0, wide) if many else slice(max(0, int(x - half_x) - 1), int(x + half_x) + 2)
    across = abs(np.arange(wide)[columns] + 0.5 - x) - half_x + radius
    down = abs(np.arange(high)[rows, None] + 0.5 - y) - half_y + radius
    distance = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) - radius
    distance += np.minimum(np.maximum(across, down), 0)
    if stroke:
        distance = abs(distance + stroke / 2) - stroke / 2
    _mix(canvas[rows, columns], np.clip(0.5 - distance, 0, 1), color)


def _mix(canvas: np.ndarray, cover: np.ndarray, color: Color) -> None:
    canvas += cover[..., None] * (np.array(color, np.float32) - canvas)


def _tile(canvas: np.ndarray, x: int, y: int, tiles: np.ndarray, kinds: np.ndarray) -> None:
    """Lay ``tiles`` f32[n, P, P, 3] in the order of ``kinds`` i64[R, C], starting at (x, y)."""
    (rows, columns), pitch = kinds.shape, tiles.shape[1]
    block = tiles[kinds].swapaxes(1, 2).reshape(rows * pitch, columns * pitch, 3)
    canvas[y : y + rows * pitch, x : x + columns * pitch] = block


@functools.cache
def _cell_tiles(pitch: int) -> np.ndarray:
    """f32[6, P, P, 3], in the order of ``CELLS``."""
    tiles = np.full((len(CELLS), pitch, pitch, 3), PAPER, np.float32)
    half = pitch / 2 - (1 if pitch > 5 else 0.5)
    for tile, colors in zip(tiles, CELLS, strict=True):
        for color, stroke in zip(colors, (0, max(1.5, pitch / 10)), strict=True):
            _box(tile, (pitch / 2, pitch / 2, half, half), half / 3, color, stroke)
    return tiles


@functools.lru_cache(maxsize=256)
def _letters(text: str) -> np.ndarray:
    """The ink on each pixel of a line of text, f32[16, W] from 0 to 1."""
    font = ImageFont.load_default(46)
    # Drawn four times too large, then reduced: small letters would snap to pixels unevenly.
    image = Image.new("L", (4 * (int(font.getlength(text)) // 4 + 2), 64))
    ImageDraw.Draw(image).text((0, 32), text, fill=255, font=font, anchor="lm")
    return np.asarray(image.reduce(4), np.float32) / 255


def _write(
    canvas: np.ndarray, x: float, y: float, text: str, align: float = 0, color: Color = FAINT
) -> None:
    """Write text centered on ``y``, starting at ``x``, or ending there if ``align`` is 1."""
    ink = _letters(text)
    left, top = round(x - align * ink.shape[1]), round(y) - 8
    _mix(canvas[top : top + 16, left : left + ink.shape[1]], ink, color)
