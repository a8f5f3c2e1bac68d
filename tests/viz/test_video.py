from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from hem.errors import UserError
from hem.viz import video

KINDS = ["gif", "mp4"]


def frames(count: int = 6, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Each of one color, no two alike."""
    for i in range(count):
        yield np.full((height, width, 3), (30 * i, 128, 255 - 30 * i), np.uint8)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def decoded(path: Path, height: int = 48, width: int = 64) -> tuple[np.ndarray, float]:
    """Its frames u8[T, H, W, 3], and how many of them make a second."""
    if path.suffix.lower() == ".gif":
        with Image.open(path) as image:
            images = []
            for i in range(image.n_frames):
                image.seek(i)
                images.append(np.asarray(image.convert("RGB")))
            return np.stack(images), 1000 / image.info["duration"]
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    ran = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(ran.stdout, np.uint8).reshape(-1, height, width, 3), count / seconds


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "A.GIF", "a:b c.mp4"])
def test_what_is_written_can_be_read(tmp_path: Path, name: str):
    video.write(tmp_path / name, frames(), fps=10)
    images, fps = decoded(tmp_path / name)
    wanted = np.stack(list(frames()))
    assert images.shape == wanted.shape
    assert fps == pytest.approx(10)
    # Videos keep brightness better than color.
    assert abs(images.astype(int) - wanted).max() <= (0 if "gif" in name.lower() else 6)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes_are_padded_with_what_is_at_the_edge(tmp_path: Path, kind: str):
    video.write(tmp_path / f"a.{kind}", frames(height=33, width=45))
    images, _ = decoded(tmp_path / f"a.{kind}", 34, 46)
    assert images.shape == (6, 34, 46, 3)
    assert abs(np.ptp(images[3].astype(int), axis=(0, 1))).max() <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_is_a_video(tmp_path: Path, kind: str):
    video.write(str(tmp_path / f"a.{kind}"), frames(1))
    assert len(decoded(tmp_path / f"a.{kind}")[0]) == 1


def test_a_gif_keeps_the_colour_of_small_things(tmp_path: Path):
    """A red dot among thousands of darker colors."""
    frame = np.random.default_rng(0).integers(0, 200, (200, 200, 3)).astype(np.uint8)
    frame[..., 0] //= 2
    frame[100:102, 100:102] = (230, 20, 20)
    video.write(tmp_path / "a.gif", [frame])
    seen = decoded(tmp_path / "a.gif")[0][0].astype(int)
    assert abs(seen - frame)[100:102, 100:102].max() <= 40
    assert abs(seen - frame).mean() <= 15


def test_a_gif_asks_for_no_more_than_browsers_show(tmp_path: Path):
    video.write(tmp_path / "a.gif", frames(), fps=200)
    assert decoded(tmp_path / "a.gif")[1] == pytest.approx(50)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_video_does_not_fill_the_memory(tmp_path: Path, kind: str):
    stream = (np.full((200, 200, 3), i, np.uint8) for i in range(50))
    video.write(tmp_path / f"warm.{kind}", frames())
    tracemalloc.start()
    video.write(tmp_path / f"a.{kind}", stream)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * 200 * 200 * 3  # of 50 such frames


@pytest.mark.parametrize("name", ["a.avi", "a", "mp4", "a.gif.txt"])
def test_another_suffix_is_refused_before_any_frame_is_made(tmp_path: Path, name: str):
    def never() -> Iterator[np.ndarray]:
        pytest.fail("a frame was made")
        yield

    with pytest.raises(UserError, match=r"\.gif or \.mp4"):
        video.write(tmp_path / name, never())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no folder .*absent"):
        video.write(tmp_path / "absent" / "a.gif", frames())


@pytest.mark.parametrize("kind", KINDS)
def test_no_frames_is_an_error_and_leaves_nothing(tmp_path: Path, kind: str):
    with pytest.raises(UserError, match="no frames"):
        video.write(tmp_path / f"a.{kind}", [])
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_different_sizes_are_refused(tmp_path: Path, kind: str):
    with pytest.raises(UserError, match="share a shape"):
        video.write(tmp_path / f"a.{kind}", [*frames(2), *frames(2, height=10)])
    assert names(tmp_path) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_fps_must_be_positive(tmp_path: Path, fps: float):
    with pytest.raises(UserError, match="fps"):
        video.write(tmp_path / "a.gif", frames(), fps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RuntimeError("no such model"), KeyboardInterrupt()])
def test_what_breaks_while_frames_are_made_keeps_the_old_video(
    tmp_path: Path, kind: str, error: BaseException
):
    def broken() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise error

    path = tmp_path / f"a.{kind}"
    path.write_text("old")
    with pytest.raises(type(error)):
        video.write(path, broken())
    assert path.read_text() == "old"
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path, kind: str):
    """A limit on the size of files, in a process of its own, stands in for the disk."""
    script = """if True:
        import resource, sys, numpy as np
        from hem.viz import video
        from hem.errors import UserError
        noise = np.random.default_rng(0).integers(0, 256, (5, 200, 200, 3), np.uint8)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            video.write(sys.argv[1], noise)
        except UserError as error:
            print(error)
    """
    path = tmp_path / f"a.{kind}"
    command = [sys.executable, "-c", script, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"cannot write {path}: ")
    assert ran.stdout.count("\n") == 1
    assert names(tmp_path) == []


def test_a_place_that_is_a_folder_is_one_line(tmp_path: Path):
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*a\.gif: Is a directory") as caught:
        video.write(tmp_path / "a.gif", frames())
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["a.gif"]


def test_what_ffmpeg_complains_about_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho first >&2\necho '[mp4 @ 0x1] No luck' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(UserError, match=r"a\.mp4: ffmpeg failed: No luck$"):
        video.write(tmp_path / "a.mp4", frames(100, 300, 300))
    assert names(tmp_path) == ["ffmpeg"]


def test_without_ffmpeg_a_gif_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", absent)
    with pytest.raises(UserError, match=r"write a \.gif"):
        video.write(tmp_path / "a.mp4", frames())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_never_leaves_half_a_file(tmp_path: Path, kind: str):
    script = """if True:
        import os, signal, sys, numpy as np
        from hem.viz import video
        def deadly():
            for i in range(20):
                yield np.full((64, 64, 3), i, np.uint8)
            os.kill(os.getpid(), signal.SIGKILL)
        video.write(sys.argv[1], deadly())
    """
    path = tmp_path / f"a.{kind}"
    path.write_text("old")
    ran = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
