from __future__ import annotations

import numpy as np
import pytest

from hem.errors import UserError
from hem.viz import grid
from hem.viz.grid import EDGE, GAP, LARGEST, Layout, VideoGrid, layout


def noise(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def inside(whole: np.ndarray, mosaic: VideoGrid, tile: int, more: int = 0) -> np.ndarray:
    """A tile's image, with so many pixels around it."""
    (top, left), (height, width) = mosaic.corner(tile), mosaic.size
    return whole[top - more : top + height + more, left - more : left + width + more]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3x4", (3, 4, 12)),
        ("4X3", (4, 3, 12)),
        (" 1 x 20 ", (1, 20, 20)),
        ("1", (1, 1, 1)),
        ("2", (1, 2, 2)),
        ("4", (2, 2, 4)),
        ("5", (2, 3, 5)),
        ("7", (3, 3, 7)),
        ("12", (3, 4, 12)),
        ("400", (20, 20, 400)),
    ],
)
def test_a_layout_is_rows_by_columns_or_a_number(text, wanted):
    assert layout(text) == wanted


@pytest.mark.parametrize(
    "text", ["0", "0x3", "3x0", "-1", "-1x2", "", "x", "3x", "x3", "a", "2.5", "21x1", "401",
             "9" * 5000],
)  # fmt: skip
def test_any_other_layout_is_refused_in_a_line(text):
    with pytest.raises(UserError, match=r"rows x columns such as 3x4, or a number") as caught:
        layout(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["1", "2x3", "3x20", "20x3", "400"])
@pytest.mark.parametrize("shape", [(320, 320, 3), (480, 640, 3), (1000, 10, 3)])
def test_the_whole_fits_and_tiles_keep_their_proportions(where, shape):
    mosaic = VideoGrid(layout(where), shape)
    assert max(mosaic.image().shape) <= LARGEST
    height, width = mosaic.size
    assert 1 <= height <= shape[0]
    assert 1 <= width <= shape[1]
    assert abs(height - width * shape[0] / shape[1]) <= shape[0] / shape[1] + 1
    rows, columns, _ = layout(where)
    around = GAP + 2 * EDGE
    assert mosaic.image().shape == (
        rows * (height + around) + GAP, columns * (width + around) + GAP, 3,
    )  # fmt: skip


def test_small_pictures_are_not_enlarged():
    assert VideoGrid(layout("2x2"), (40, 60, 3)).size == (40, 60)


def test_a_picture_is_put_in_its_tile_and_changes_nothing_else():
    mosaic = VideoGrid(layout("2x3"), (40, 60, 3))
    before, image = mosaic.image(), noise()
    mosaic.put(4, image, "running")
    after = mosaic.image()
    np.testing.assert_array_equal(inside(after, mosaic, 4), image)
    changed = np.argwhere((before != after).any(axis=-1))
    top, left = mosaic.corner(4)
    assert top > 40
    assert 60 < left < 120 + 4 * EDGE + 3 * GAP
    assert changed.min(axis=0).tolist() == [top - EDGE, left - EDGE]
    assert changed.max(axis=0).tolist() == [top + 39 + EDGE, left + 59 + EDGE]


@pytest.mark.parametrize("standing", grid.COLORS)
def test_a_frame_tells_how_an_episode_stands(standing):
    mosaic = VideoGrid(Layout(1, 2, 2), (40, 60, 3))
    mosaic.put(1, noise(), standing)
    framed = inside(mosaic.image(), mosaic, 1, EDGE).astype(int)
    edge = np.ones(framed.shape[:2], bool)
    edge[EDGE:-EDGE, EDGE:-EDGE] = False
    assert (framed[edge] == grid.COLORS[standing]).all()


def test_ended_tiles_have_different_badges_and_a_failed_one_is_pale():
    image, seen = np.zeros((90, 90, 3), np.uint8), {}
    for standing in grid.COLORS:
        mosaic = VideoGrid(Layout(1, 1, 1), image.shape)
        mosaic.put(0, image, standing)
        seen[standing] = inside(mosaic.image(), mosaic, 0)
    assert not seen["running"].any()
    marked = (seen["reached"] > 0).any(axis=-1)
    assert 0.01 < marked.mean() < 0.05
    assert marked[:15, -15:].sum() == marked.sum()
    assert (seen["failed"][20:] > 90).all()
    # With all colors taken away, the badges still differ: one has a tick, one a cross.
    signs = [seen[s][:14, -14:].min(axis=-1) > 200 for s in ("reached", "failed")]
    assert all(sign.sum() > 5 for sign in signs)
    assert (signs[0] ^ signs[1]).sum() > 5


def test_what_was_taken_stays_as_it_was():
    mosaic = VideoGrid(layout("1"), (40, 60, 3))
    taken = mosaic.image()
    mosaic.put(0, noise(), "running")
    assert (taken == grid.PAPER).all()


def test_a_picture_of_another_size_is_fitted_and_badges_fit_anything():
    mosaic = VideoGrid(layout("1x2"), (40, 60, 3))
    mosaic.put(0, noise(80, 120), "reached")
    assert mosaic.size == (40, 60)
    tiny = VideoGrid(layout("1"), (3, 2, 3))
    tiny.put(0, noise(3, 2), "failed")
