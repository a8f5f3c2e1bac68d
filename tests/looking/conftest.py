"""Small trained runs to look at, and a browser to look at pages with."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import untrained

BROWSER = Path(__file__).with_name("browser.py")
ITERATIONS = 10


def with_metrics(folder: Path) -> Path:
    """Give a run rows, with an evaluation every other time."""
    with (folder / "metrics.jsonl").open("w") as file:
        for i in range(1, ITERATIONS + 1):
            row = {
                "iteration": i,
                "env_steps": 20 * i,
                "wall_s": 0.25 * i,
                "train/loss": 2 - i / 10,
            }
            rates = {"eval/success_rate": i / 20, "eval/final_success_rate": i / 40}
            file.write(json.dumps(row | (rates if i % 2 == 0 else {})) + "\n")
    return folder


@pytest.fixture(scope="session")
def flips(tmp_path_factory) -> list[Path]:
    """Three runs on bits: two that differ in their seeds, and one in a setting too."""
    root = tmp_path_factory.mktemp("flips")
    first = with_metrics(untrained(root / "0", "FlipBit", bits=5, env_steps=200))
    config = json.loads((first / "config.json").read_text())
    found = [first]
    for part, name, value in (("run", "seed", 1), ("algo_config", "learning_rate", 0.01)):
        other = shutil.copytree(first, root / f"{len(found)}")
        changed = config | {part: config[part] | {name: value}}
        (other / "config.json").write_text(json.dumps(changed))
        found.append(other)
    return found


@pytest.fixture(scope="session")
def point(tmp_path_factory) -> Path:
    """A run on goals in a plane, of which it reaches some."""
    folder = tmp_path_factory.mktemp("point") / "run"
    return with_metrics(untrained(folder, "Navigation", horizon=8, threshold=0.4))


@pytest.fixture(scope="session")
def browse() -> Callable[..., dict]:
    """``browse(page, width, scheme)``: what a headless Chromium finds on a page."""

    def open_page(page: Path, width: int = 1000, scheme: str = "light") -> dict:
        pytest.importorskip("PyQt6.QtWebEngineCore", reason="the browser needs PyQt6-WebEngine")
        dark = "--blink-settings=preferredColorScheme=0" if scheme == "dark" else ""
        environment = os.environ | {
            "QT_QPA_PLATFORM": "offscreen",
            "QTWEBENGINE_DISABLE_SANDBOX": "1",
            "QTWEBENGINE_CHROMIUM_FLAGS": f"--no-sandbox --disable-gpu {dark}",
        }
        command = [sys.executable, BROWSER, page, str(width)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if "ImportError" in done.stderr:
            pytest.skip(f"the browser does not start: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return open_page
