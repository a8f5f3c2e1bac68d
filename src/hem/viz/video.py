"""Videos: frames to a GIF or MP4, completely or not at all."""

from __future__ import annotations

import io
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hem.errors import UserError, require
from hem.system.atomic_io import named_errors, write_atomically


def write(path: str | Path, frames: Iterable[np.ndarray], fps: float = 25) -> None:
    """Write ``frames`` as a video, a GIF or MP4 by the suffix of ``path``.

    Frames are requested one at a time, and only if ``path`` can be written. Odd sizes, which MP4
    does not support, are padded by a pixel.

    Args:
        path: The file, which is replaced only by a complete video.
        frames: u8[H, W, 3] each, all of the same size.
        fps: Frames per second. GIF counts in hundredths of a second, and shows at most 50.

    Raises:
        UserError: another suffix, no frames, no ffmpeg, or a disk error.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    require(suffix in _ENCODERS, f"cannot write {path}: its name must end in .gif or .mp4")
    require(fps > 0, f"fps must be greater than 0, not {fps:g}")
    require(path.parent.is_dir(), f"cannot write {path}: there is no folder {path.parent}")
    stream = _even(frames, path)

    def encode(side: Path) -> None:
        side.touch()  # fails before frames are made, which may take minutes
        first = next(stream, None)
        if first is None:
            raise UserError(f"cannot write {path}: there are no frames")
        _ENCODERS[suffix](side, first, stream, fps)

    with named_errors(path):
        write_atomically(path, encode)


def _even(frames: Iterable[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    """The frames, padded to even sizes by repeating the last row and column."""
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        require(
            frame.shape == shape and frame.ndim == 3 and frame.shape[2] == 3,
            f"cannot write {path}: frames must share a shape [H, W, 3], not {shape}, {frame.shape}",
        )
        height, width = frame.shape[:2]
        yield np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _gif(side: Path, first: np.ndarray, rest: Iterator[np.ndarray], fps: float) -> None:
    from PIL import Image  # noqa: PLC0415  paid only for videos

    # Browsers slow down delays of less than two hundredths of a second.
    milliseconds = max(20, 10 * round(100 / fps))

    def reduced(frame: np.ndarray) -> Image.Image:
        """Reduced to 256 colors; the octree keeps rare ones, such as that of a small goal."""
        image = Image.fromarray(frame)
        few = image.getcolors(256) is not None  # kept exactly by Pillow
        return image if few else image.quantize(256, Image.Quantize.FASTOCTREE)

    # In memory first: Pillow does not pass on the reason for a disk error.
    buffer = io.BytesIO()
    reduced(first).save(
        buffer,
        "GIF",
        save_all=True,
        append_images=map(reduced, rest),
        duration=milliseconds,
        loop=0,
    )
    side.write_bytes(buffer.getbuffer())


def _mp4(side: Path, first: np.ndarray, rest: Iterator[np.ndarray], fps: float) -> None:
    """Pipe frames into ffmpeg directly, as imageio_ffmpeg does not report failures."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # noqa: PLC0415  paid only for videos

        program = get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise UserError(
            "MP4 needs ffmpeg, which is not installed: write a .gif instead, or run "
            "`pip install 'hindsight-em[mujoco]'`"
        ) from error
    height, width = first.shape[:2]
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -".split()
    # Plays everywhere, and is close enough to lossless for edges of flat colors.
    target = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-f", "mp4"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [program, "-y", "-loglevel", "error", *source, *target, f"file:{side}"],
            stdin=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for frame in itertools.chain([first], rest):
                    pipe.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            pass  # ffmpeg has ended early; its log says why
        finally:
            status = process.wait()
        if status:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1].rpartition("] ")[2] if lines else f"status {status}"
            raise OSError(f"ffmpeg failed: {reason}")


_ENCODERS = {".gif": _gif, ".mp4": _mp4}
