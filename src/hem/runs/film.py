"""The film of a run that goes with its results, as ``hem play`` records one."""

from __future__ import annotations

from pathlib import Path

from hem.runs.playback import Done, frames
from hem.runs.run import Run
from hem.system.packages import is_installed
from hem.viz import video

EPISODES = 3
FPS = 10
STEM = "replay"  # the Hugging Face Hub shows replay.mp4 beside a model


def record(run: Run, folder: Path, done: Done = lambda share: None) -> Path:
    """Film a few episodes of a run's policy.

    Args:
        run: the run.
        folder: where to write the film: an MP4, or a GIF where no ffmpeg is installed.
        done: called with the share of the work done.

    Raises:
        UserError: the environment cannot be drawn, or the film cannot be written.
    """
    suffix = ".mp4" if is_installed("imageio_ffmpeg") else ".gif"
    file = folder / f"{STEM}{suffix}"
    video.write(file, frames(run, EPISODES, done=done), FPS)
    return file
