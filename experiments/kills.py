"""A run whose workers are killed again and again, by ``kill -9`` at random moments: what is lost.

python -m experiments.kills --kills 20            # a process of two, resumed after each
python -m experiments.kills --kills 10 --ray      # a worker of Ray, in a suite of four runs
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import tyro

from experiments.two_hosts import kept, launched
from hem.runs import checkpoint

RUN = ["FlipBit", "--bits", "8", "--workers", "2", "--episodes-per-iteration", "8"]
SUITE = """
seeds = 4
[base]
env = "FlipBit"
bits = 10
env_steps = 60_000
eval_interval = 2_000
"""


def main(kills: int = 20, ray: bool = False, seed: int = 0) -> None:
    """Kill, resume, and compare with what was left alone.

    Args:
        kills: How many processes are killed.
        ray: Kill workers of Ray, that train the runs of a suite.
        seed: Seed of the moments and the victims.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        (_of_ray if ray else _of_a_launcher)(Path(folder), kills, chance)


def _of_a_launcher(root: Path, kills: int, chance: random.Random) -> None:
    run, unharmed = root / "run", root / "unharmed"
    budget = ["--env-steps", "12000", "--eval-interval", "400", "--quiet"]
    _finish([sys.executable, "-m", "hem", "train", *RUN, *budget, "--run-dir", str(unharmed)])
    done = 0
    while done < kills:
        words = ["resume", str(run), "--quiet"]
        if not run.exists():
            words = ["train", *RUN, *budget, "--run-dir", str(run)]
        processes = launched(words)
        _await_another(run, processes[0])
        time.sleep(chance.uniform(0, 2))
        victims = _named(processes[chance.randrange(2)].pid, "hem.runs.worker")
        for victim in victims:
            victim.kill()
        said = [process.communicate()[0].strip() for process in processes]
        done += len(victims)
        print(f"kill {done}: {said}", flush=True)
        if not any(process.returncode for process in processes):
            break  # it was complete before
    for process in launched(["resume", str(run), "--quiet"]):
        process.communicate()
    print("equal to an unharmed run:", kept(run) == kept(unharmed))


def _of_ray(root: Path, kills: int, chance: random.Random) -> None:
    file = root / "suite.toml"
    file.write_text(SUITE)
    suite = [sys.executable, "-m", "hem", "suite", str(file), "--quiet"]
    _finish([*suite, "--out", str(root / "unharmed")])
    process = subprocess.Popen([*suite, "--out", str(root / "out"), "--retries", str(kills)])
    done = 0
    while done < kills and process.poll() is None:
        time.sleep(chance.uniform(1, 4))
        if victims := _named(process.pid, "ray::execute"):
            chance.choice(victims).kill()
            done += 1
    print(f"killed {done} workers of Ray; status {process.wait()}")
    for seed in range(4):
        runs = [next((root / name).rglob(f"seed-{seed}")) for name in ("out", "unharmed")]
        print(f"seed {seed} equal to an unharmed run:", kept(runs[0]) == kept(runs[1]))


def _await_another(run: Path, process: subprocess.Popen[str]) -> None:
    known = checkpoint.listed(run / "checkpoints")
    while process.poll() is None and checkpoint.listed(run / "checkpoints") == known:
        time.sleep(0.05)


def _named(parent: int, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            if any(name in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:  # gone meanwhile
            pass
    return found


def _finish(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    tyro.cli(main)
