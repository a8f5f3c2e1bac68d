"""A small film of a policy, as bytes that fit into a page."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hem.runs import playback
from hem.runs.run import Run
from hem.viz import video
from hem.viz.grid import layout

TILES = "2x3"
WIDTH = 560  # pixels at most
FRAMES = 80  # at most, so that long episodes do not make a large page
HELD = 8  # frames at the end, so that it can be seen
FPS = 10


class Film(NamedTuple):
    """Episodes side by side."""

    gif: bytes
    still: bytes  # a PNG of the end, for those who want nothing to move
    size: tuple[int, int]  # width and height in pixels
    stride: int  # steps of the environment from frame to frame


def film(run: Run, seed: int, done: Callable[[float], Any]) -> Film:
    """Draw episodes of a run's policy.

    Args:
        run: the run.
        seed: of the first episode.
        done: called with the share that is done.

    Raises:
        UserError: the environment cannot be drawn.
    """
    frames, stride = _thinned(playback.side_by_side(run, layout(TILES), seed, done=done))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "film.gif")
        video.write(file, frames + frames[-1:] * HELD, FPS)
        gif = file.read_bytes()
    still = io.BytesIO()
    Image.fromarray(frames[-1]).save(still, "PNG", optimize=True)
    height, width = frames[-1].shape[:2]
    return Film(gif, still.getvalue(), (width, height), stride)


def _thinned(whole: Iterable[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Every n-th frame, made smaller, with the smallest n that leaves few enough; and n."""
    kept, stride, latest = [], 1, None
    for i, frame in enumerate(whole):
        latest = frame
        if i % stride == 0:
            kept.append(_shrunk(frame))
        if len(kept) > FRAMES:
            kept, stride = kept[::2], 2 * stride
    assert latest is not None
    return [*kept, _shrunk(latest)], stride


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of a media type as an address that contains them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _shrunk(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = min(1.0, WIDTH / width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
