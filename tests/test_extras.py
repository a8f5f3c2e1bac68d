"""Without the extra packages hem does what it can, and names the extra where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
EXTRAS = (
    "mujoco", "gymnasium_robotics", "imageio_ffmpeg", "metaworld", "envpool", "wandb", "mlflow",
    "huggingface_hub", "onnx", "minari", "ray", "optuna",
)  # fmt: skip
MINE = Path(__file__).parents[1] / "docs" / "my_env.py"
SMALL = "--episodes-per-iteration 4 --updates-per-iteration 2 --eval-episodes 2 --env-steps 40"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """``run(*words)``: hem where nothing but its dependencies is installed.

    It runs in a folder with folders that are named like what is not.
    """
    folder = tmp_path_factory.mktemp("bare")
    packages = folder / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith((*EXTRAS, "__editable__")):
            (packages / entry.name).symlink_to(entry)

    for name in EXTRAS:
        (folder / name).mkdir()
    base = '[base]\nenv = "FlipBit"\nenv_steps = 40\n'
    (folder / "suite.toml").write_text(base)
    (folder / "sweep.toml").write_text(f'sampler = "optuna"\n{base}[search]\nbits = [4, 5]\n')

    def run(*words: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": f"{packages}{os.pathsep}{SOURCE}"}
        command = [sys.executable, "-S", "-m", "hem", *words]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def flip(bare) -> str:
    done = bare("train", "FlipBit", "--bits", "4", *SMALL.split(), "--run-dir", "flip")
    assert done.returncode == 0, done.stderr
    return "flip"


def test_environments_in_jax_and_of_your_own_need_no_extra(bare, flip):
    for words in (
        ("list",),
        ("evaluate", flip, "--episodes", "4"),
        ("plot", flip, "--out", "curve.png"),
        ("play", flip, "--out", "flip.gif", "--episodes", "1"),
        ("card", flip, "--episodes", "2"),
        ("check", f"{MINE}:MyEnv", "--episodes", "2"),
        ("train", f"{MINE}:MyEnv", *SMALL.split(), "--run-dir", "mine"),
    ):
        done = bare(*words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train", "FetchReach-v4"), "mujoco"),
        (("train", "PointMass"), "mujoco"),
        (("train", "Reacher"), "mujoco"),
        (("train", "SawyerReach"), "sawyer"),
        (("train", "PointMaze_UMaze-v3"), "mujoco"),
        (("train", "envpool:FetchReach-v4"), "envpool"),
        (("play", "flip", "--out", "flip.mp4"), "mujoco"),
        (("export", "flip", "--onnx", "flip.onnx"), "onnx"),
        (("train", "FlipBit", "--track", "wandb"), "wandb"),
        (("resume", "flip", "--track", "mlflow"), "mlflow"),
        (("push", "flip", "me/flip"), "hub"),
        (("suite", "suite.toml", "--ray-address", "auto"), "ray"),
        (("sweep", "sweep.toml"), "optuna"),
        (("export", "flip", "--minari", "flip/demo-v0"), "minari"),
        (("train", "FlipBit", "--demos", "flip/demo-v0"), "minari"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(bare, flip, words, extra):
    done = bare(*words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"pip install 'hindsight-em[{extra}]'" in done.stderr
