"""How much of the cores' time a suite on Ray spends in its runs: 20 of FlipBit.

python -m experiments.suite_use
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import tyro

from hem.runs.suites.engines import OnRay
from hem.runs.suites.suite_file import read_suite
from hem.system.subprocesses import usable_cores

SUITE = """
seeds = 20
[base]
env = "FlipBit"
env_steps = 100_000
"""


def main() -> None:
    """Train the suite, and print the share, with Ray's own start and end included."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "suite.toml")
        file.write_text(SUITE)
        runs = read_suite(file, Path(folder, "out"))
        start = time.monotonic()
        with OnRay(None, 1) as engine:
            ended = [found[1] for found in engine.results(runs, retries=0) if found is not None]
        wall = time.monotonic() - start
    in_runs = sum(result.seconds for result in ended)
    share = in_runs / (usable_cores() * wall)
    print(f"{len(ended)} runs on {usable_cores()} cores: {wall:.0f} s, {share:.0%} of it in runs")


if __name__ == "__main__":
    tyro.cli(main)
