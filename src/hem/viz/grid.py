"""Many images in one: a grid of tiles, each with a frame that shows its episode's status."""

from __future__ import annotations

import functools
import math
import re
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from hem.errors import UserError

LARGEST = 1280  # pixels, width and height of the grid: tiles are shrunk to fit
MOST = 20  # rows and columns, so that tiles stay legible
GAP, EDGE = 6, 4  # pixels between tiles, and in the frame around each

EpisodeStatus = Literal["running", "reached", "failed"]
PAPER = (250, 249, 246)
COLORS: dict[EpisodeStatus, tuple[int, int, int]] = {
    "running": (213, 217, 224),
    "reached": (32, 150, 108),
    "failed": (200, 72, 58),
}
FADED = 0.45  # share of paper in a failed tile, so that those still running stand out
# The badges of ended tiles, for those who cannot tell green from red: lines between points of the
# unit square.
TICK = [[(0.28, 0.52), (0.44, 0.68), (0.73, 0.34)]]
CROSS = [[(0.33, 0.33), (0.67, 0.67)], [(0.33, 0.67), (0.67, 0.33)]]


class Layout(NamedTuple):
    """How many tiles there are, and how they are arranged: row by row."""

    rows: int
    columns: int
    tiles: int  # the last row may be short


def layout(text: str) -> Layout:
    """Parse ``3x4``, rows and columns, or ``12``, that many tiles in nearly a square.

    Raises:
        UserError: it is neither, or there are too few or too many.
    """
    found = re.fullmatch(r"(\d{1,3})(?:x(\d{1,3}))?", "".join(text.lower().split()))
    rows, columns = (int(number or 0) for number in found.groups()) if found else (0, 0)
    tiles = rows * columns
    if found and found[2] is None:
        tiles = rows
        columns = math.isqrt(max(0, tiles - 1)) + 1
        rows = -(-tiles // columns)
    if not (1 <= rows <= MOST and 1 <= columns <= MOST):
        raise UserError(
            "grid must be rows x columns such as 3x4, or a number of tiles such as 12, with 1 to "
            f"{MOST} rows and columns, not {text!r}"
        )
    return Layout(rows, columns, tiles)


class VideoGrid:
    """An image of tiles. A tile keeps its image until another one is put there."""

    def __init__(self, where: Layout, shape: tuple[int, ...]) -> None:
        """Begin with an empty one.

        Args:
            where: the layout of the tiles.
            shape: shape of their images, [H, W, 3].
        """
        self._columns = where.columns
        around = GAP + 2 * EDGE
        scale = min(
            1.0,
            *(
                ((LARGEST - GAP) / n - around) / length
                for n, length in zip(where[:2], shape[:2], strict=True)
            ),
        )
        self._height, self._width = (max(1, int(scale * length)) for length in shape[:2])
        self._pitch = self._height + around, self._width + around
        size = (n * p + GAP for n, p in zip(where[:2], self._pitch, strict=True))
        self._canvas = np.full((*size, 3), PAPER, np.uint8)

    def put(self, tile: int, image: np.ndarray, standing: EpisodeStatus) -> None:
        """Put an image u8[H, W, 3] in its tile, with a frame for its episode's status."""
        top, left = self.corner(tile)
        frame = self._canvas[top - EDGE :, left - EDGE :]
        frame[: self._height + 2 * EDGE, : self._width + 2 * EDGE] = COLORS[standing]
        scaled = Image.fromarray(image)
        if scaled.size != (self._width, self._height):
            scaled = scaled.resize((self._width, self._height), Image.Resampling.LANCZOS)
        inside = self._canvas[top : top + self._height, left : left + self._width]
        inside[:] = np.asarray(scaled)
        if standing == "failed":
            inside[:] = inside + FADED * (np.array(PAPER) - inside)
        if standing != "running":
            _stick(inside, standing)

    def corner(self, tile: int) -> tuple[int, int]:
        """The first row and column of a tile's image."""
        row, column = divmod(tile, self._columns)
        height, width = self._pitch
        return row * height + GAP + EDGE, column * width + GAP + EDGE

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a tile's image."""
        return self._height, self._width

    def image(self) -> np.ndarray:
        """The whole grid, u8[H, W, 3]."""
        return self._canvas.copy()


def _stick(image: np.ndarray, standing: EpisodeStatus) -> None:
    """Draw a badge in the upper right corner of an image, in place."""
    size = min(max(14, min(image.shape[:2]) // 12), *image.shape[:2])
    color, cover = _badge(size, standing)
    place = image[:size, -size:]
    place[:] = place + cover * (color - place)


@functools.cache
def _badge(size: int, standing: EpisodeStatus) -> tuple[np.ndarray, np.ndarray]:
    """A disc with a tick or a cross: colors f32[S, S, 3], and their opacity [S, S, 1]."""
    large = 4 * size  # then reduced, for smooth edges
    disc = Image.new("L", (large, large))
    ImageDraw.Draw(disc).ellipse((0, 0, large - 1, large - 1), fill=255)
    sign = Image.new("RGB", (large, large), COLORS[standing])
    for line in TICK if standing == "reached" else CROSS:
        points = [(large * x, large * y) for x, y in line]
        ImageDraw.Draw(sign).line(points, "white", width=large // 7, joint="curve")
    color, cover = (np.asarray(image.reduce(4), np.float32) for image in (sign, disc))
    return color, cover[..., None] / 255
