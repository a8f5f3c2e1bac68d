"""Packages that offer environments, algorithms and strategies, installed for real."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import called, flags

from hem.registry.plugins import plug_ins

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
POINTS = """
[hem.environments]
Slide = {module}.slide:Slide
Carousel = {module}.carousel
[hem.algorithms]
discounted = {module}.discounted
broken = {module}.broken
absent = {module}.discounted:Absent
her = {module}.discounted
[hem.strategies]
window = {module}.window
soon = {module}:soon
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
INIT = "def soon(key, replay, index):\n    return index.step + 1\n"
FEW = {"env_steps": 40, "eval_interval": 40, "eval_episodes": 2, "episodes_per_iteration": 4}


def install(folder: Path, name: str) -> None:
    """Install a package by pip into ``folder``."""
    module = name.replace("-", "_")
    info = f"{module}-1.2.dist-info"
    files = {
        f"{module}/__init__.py": INIT,
        f"{module}/broken.py": "import nothing_like_it\n",
        f"{module}/slide.py": (Path(__file__).parent / "slide.py").read_text(),
        f"{info}/METADATA": METADATA.format(name=name),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": POINTS.format(module=module),
    }
    for example in ("carousel", "discounted", "window"):
        files[f"{module}/{example}.py"] = (EXAMPLES / f"{example}.py").read_text()
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    wheel = folder.parent / f"{module}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--target", folder, wheel]
    done = subprocess.run([*pip, *alone], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with one such package."""
    folder = tmp_path_factory.mktemp("plugins") / "site"
    install(folder, "hem-plug")
    return folder


@pytest.fixture
def offer(monkeypatch) -> Iterator[Callable[..., None]]:
    """``offer(*folders)``: what is installed there is found in this process too."""

    def offer(*folders: Path) -> None:
        for folder in folders:
            monkeypatch.syspath_prepend(folder)
        plug_ins.cache_clear()

    yield offer
    plug_ins.cache_clear()


def run(folder: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    path = os.pathsep.join(map(str, [ROOT / "src", folder]))
    return subprocess.run(
        [sys.executable, "-m", "hem", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path}, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess, *parts: str) -> None:
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
    for part in parts:
        assert part in done.stderr


@pytest.mark.slow
def test_a_package_s_environment_algorithm_and_strategy_train(installed, tmp_path, offer):
    listed = run(installed, "list", cwd=tmp_path).stdout
    for name in ("Slide", "Carousel", "discounted", "window", "soon"):
        (line,) = [line for line in listed.splitlines() if line.split()[:1] == [name]]
        assert "from hem-plug 1.2" in line
    for env, algo, strategy in (("Slide", "hem", "window"), ("Carousel", "discounted", "soon")):
        words = [
            "train",
            env,
            "--algo",
            algo,
            "--strategy",
            strategy,
            *flags(FEW),
            "--quiet",
            "--run-dir",
            env,
        ]
        done = run(installed, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        refused(called("resume", env, cwd=tmp_path), f"unknown environment '{env}'")
    offer(installed)
    for env in ("Slide", "Carousel"):
        done = called("resume", env, "--env-steps", "60", "--quiet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_package_at_fault_is_named_in_one_line(installed, tmp_path, offer):
    offer(installed)
    for algo, said in {
        "broken": "No module named 'nothing_like_it'): repair or uninstall that package",
        "absent": "Absent",
        "her": "the algorithm her of hem-plug 1.2 and hem itself is ambiguous: uninstall one",
    }.items():
        done = called("train", "FlipBit", "--algo", algo, cwd=tmp_path)
        refused(done, f"the algorithm {algo} of hem-plug 1.2", said)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_name_that_two_packages_offer_is_refused(installed, tmp_path, offer):
    second = tmp_path / "second" / "site"
    install(second, "other-plug")
    offer(installed, second)
    words = [
        "train",
        "FlipBit",
        "--strategy",
        "window",
        *flags(FEW),
        "--quiet",
        "--run-dir",
        "no",
    ]
    refused(called(*words, cwd=tmp_path), "window of", "hem-plug 1.2", "other-plug 1.2", "one")
    listed = called("list")
    assert "other-plug" in listed.stdout
    assert not (tmp_path / "no").exists()
