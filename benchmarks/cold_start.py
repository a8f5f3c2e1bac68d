"""From the shell to help, and from the shell to the first trained iteration."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import Figure

TRIES = 3


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        helped = min(_help() for _ in range(TRIES))
        first = _train(Path(folder) / "first")
        later = min(_train(Path(folder) / f"later{i}") for i in range(TRIES))
    return [
        Figure(name=name, value=took, unit="s", ratio=took / limit, against=f"limit {limit} s")
        for name, took, limit in [
            ("hem --help", helped, 1.0),
            ("hem train FlipBit, to its first row; compiled before", later, 3.0),
        ]
    ] + [
        Figure(name="the same, this machine's first or a warm cache", value=first, unit="s",
               ratio=None, against="")
    ]  # fmt: skip


def _help() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hem", "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


def _train(run_dir: Path) -> float:
    command = [sys.executable, "-m", "hem", "train", "FlipBit", "--quiet",
               "--run-dir", str(run_dir)]  # fmt: skip
    metrics = run_dir / "metrics.jsonl"
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise RuntimeError("training ended before its first row")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.terminate()
    return seconds
