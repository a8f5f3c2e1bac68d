"""A run of several workers: what it leaves, and what it says when one is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from running import (
    FLIP,
    await_rows,
    called,
    final_bits,
    flags,
    hem,
    kept,
    kill,
    rows,
    start,
    without_clock,
)
from safetensors.numpy import load_file

from hem import train_seeds
from hem.errors import UserError
from hem.runs import checkpoint

TWO = FLIP | {"workers": 2, "episodes_per_iteration": 8, "buffer_episodes": 60}
LONG = TWO | {"env_steps": 1_000_000, "eval_interval": 400}

MPIRUN = Path(sys.prefix, "bin", "mpirun")

pytestmark = pytest.mark.slow


def trained(folder: Path, settings: dict, run: Callable = called, **named) -> Path:
    done = run("train", "FlipBit", *flags(settings), "--run-dir", folder, "--quiet", **named)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", autouse=True)
def optimized():
    """Equal bits are asked of the programs that users run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        patch.delenv("XLA_FLAGS")
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "whole", TWO)


def child_of(process: subprocess.Popen) -> psutil.Process:
    children = psutil.Process(process.pid).children()
    return next(child for child in children if "hem.runs.worker" in child.cmdline())


def jax_variables(rank: int, port: int) -> dict[str, str]:
    address = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}"}
    return address | {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(rank)}


def slurm_variables(rank: int, port: int) -> dict[str, str]:
    """What srun sets, as far as JAX and hem read it."""
    job = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    mine = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
    return job | mine | {"JAX_COORDINATOR_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def launched(
    *words: str | Path, variables: Callable = jax_variables, **other: Any
) -> list[subprocess.Popen]:
    """The command as two processes of a launcher; ``other`` is what the second adds."""
    port = free_port()
    return [
        start(*words, *(flags(other) if rank else []), env=variables(rank, port))
        for rank in range(2)
    ]


def ended(processes: list[subprocess.Popen], status: int) -> list[str]:
    """What the processes printed."""
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [status, status], said
    return said


def stored(folder: Path) -> list[dict[str, np.ndarray]]:
    latest = checkpoint.listed(folder / "checkpoints")[-1]
    return [load_file(file) for file in sorted(latest.glob("state*.safetensors"))]


def stored_bits(folder: Path) -> list[bytes]:
    latest = checkpoint.listed(folder / "checkpoints")[-1]
    return [file.read_bytes() for file in sorted(latest.glob("state*.safetensors"))]


def episodes(folder: Path) -> list[tuple]:
    """All that is in the replay buffers, whoever has it."""
    found = []
    for part in stored(folder):
        data = [part[f".replay.data.{name}"] for name in ("obs", "goal", "action", "length")]
        found += [tuple(x[row].tobytes() for x in data) for row in range(len(data[0]))]
    return sorted(found)


def test_it_leaves_what_one_worker_leaves_and_a_state_for_each(whole):
    first, second = stored(whole)
    assert rows(whole)[-1]["env_steps"] >= TWO["env_steps"]
    assert {"policy.safetensors", "curve.png", "metrics.jsonl"} <= {
        path.name for path in whole.iterdir()
    }
    learned = [name for name in first if ".agent_state" in name]
    assert all((first[name] == second[name]).all() for name in learned)
    assert len(episodes(whole)) == rows(whole)[-1]["episodes"]
    assert called("evaluate", whole, "--episodes", "4").returncode == 0


def test_devices_of_one_process_do_the_same_to_the_bit(whole, tmp_path):
    devices = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    mesh = trained(tmp_path / "mesh", TWO, hem, env=devices)
    assert without_clock(mesh) == without_clock(whole)
    for one, other in zip(stored(mesh), stored(whole), strict=True):
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)


def test_a_resumed_run_ends_as_one_that_was_never_stopped(whole, tmp_path):
    half = trained(tmp_path / "half", TWO | {"env_steps": 100})
    done = called("resume", half, "--env-steps", str(TWO["env_steps"]), "--quiet")
    assert done.returncode == 0, done.stderr
    assert final_bits(half) == final_bits(whole)
    assert without_clock(half) == without_clock(whole)


@pytest.mark.parametrize("number", [1, 4])
def test_another_number_of_workers_goes_on_with_the_same_episodes(whole, tmp_path, number):
    copy = shutil.copytree(whole, tmp_path / "copy")
    before = set(episodes(copy))
    done = called("resume", copy, "--workers", str(number), "--env-steps", "240", "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(stored(copy)) == number
    assert before <= set(episodes(copy))


def test_processes_of_slurm_do_the_same_to_the_bit(whole, tmp_path):
    """So do those that JAX's own variables name, of which one is killed below."""
    folder = tmp_path / "run"
    words = ("train", "FlipBit", *flags(TWO), "--run-dir", folder, "--quiet")
    done, nothing = ended(launched(*words, variables=slurm_variables), 0)
    assert f"Done: {folder}" in done
    assert nothing == ""
    assert without_clock(folder) == without_clock(whole)
    assert stored_bits(folder) == stored_bits(whole)


@pytest.mark.skipif(not MPIRUN.exists(), reason="there is no mpirun")
def test_processes_of_mpirun_do_the_same_to_the_bit(whole, tmp_path):
    folder = tmp_path / "run"
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = hem(
        "train", "FlipBit", *flags(TWO), "--run-dir", folder, "--quiet",
        under=(str(MPIRUN), "-n", "2", "--oversubscribe"), env=os.environ | allowed,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"Done: {folder}") == 1
    assert without_clock(folder) == without_clock(whole)
    assert stored_bits(folder) == stored_bits(whole)


def test_a_killed_process_is_named_and_nothing_is_lost(tmp_path):
    settings = TWO | {"env_steps": 1200, "eval_interval": 200}
    unharmed, folder = trained(tmp_path / "unharmed", settings), tmp_path / "run"
    processes = launched("train", "FlipBit", *flags(settings), "--run-dir", folder, "--quiet")
    await_rows(folder, 3, processes[0])
    child_of(processes[1]).send_signal(signal.SIGKILL)
    survivor, victim = ended(processes, 2)
    assert "process 1 was killed by signal 9" in victim
    assert "process 0 of 2 lost another one" in survivor
    assert all(f"`hem resume {folder}`" in said for said in (survivor, victim))
    assert survivor.count("\n") == victim.count("\n") == 1
    assert called("resume", folder, "--quiet").returncode == 0
    assert kept(folder) == kept(unharmed)


def test_a_process_that_hangs_ends_the_run(tmp_path):
    words = ("train", "FlipBit", *flags(LONG), "--run-dir", tmp_path / "run", "--quiet")
    processes = launched(*words)
    await_rows(tmp_path / "run", 2, processes[0])
    child_of(processes[1]).send_signal(signal.SIGSTOP)
    said = processes[0].communicate(timeout=60)[0]
    assert processes[0].returncode == 2
    assert "process 0 of 2 lost another one" in said
    kill(processes[1])


def test_processes_that_disagree_start_nothing(tmp_path):
    words = ("train", "FlipBit", *flags(TWO), "--run-dir", tmp_path / "run", "--quiet")
    for said in ended(launched(*words, learning_rate=0.1), 2):
        assert "worker 1 has other settings than worker 0" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_an_address_that_is_taken_starts_nothing(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        set_all(monkeypatch, jax_variables(0, port))
        done = called("train", "FlipBit", *flags(TWO), "--run-dir", tmp_path / "run", "--quiet")
    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "3"}, "2 workers cannot be shared by 3"),
        ({"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "2"}, "set JAX_COORDINATOR_ADDRESS to HOST"),
        ({"JAX_PROCESS_ID": "2", "JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID is 2, but"),
        ({"JAX_PROCESS_ID": "a", "JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID must be a number"),
        (
            {"PMI_RANK": "0", "PMI_SIZE": "2", "JAX_COORDINATOR_ADDRESS": "host"},
            "must be HOST:PORT, not 'host'",
        ),
    ],
)
def test_a_launcher_that_cannot_be_followed_gets_one_line(tmp_path, monkeypatch, given, said):
    set_all(monkeypatch, given)
    done = called("train", "FlipBit", *flags(TWO), "--run-dir", tmp_path / "run")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_one_worker_does_not_look_for_a_launcher(tmp_path, monkeypatch):
    set_all(monkeypatch, {"JAX_PROCESS_ID": "0", "JAX_NUM_PROCESSES": "2"})
    done = called("train", "FlipBit", *flags(FLIP), "--run-dir", tmp_path / "run", "--quiet")
    assert done.returncode == 0, done.stderr


def test_a_killed_child_is_named(tmp_path):
    process = start("train", "FlipBit", *flags(LONG), "--run-dir", tmp_path / "run", "--quiet")
    await_rows(tmp_path / "run", 2, process)
    child_of(process).send_signal(signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "the process of the workers was killed by signal 9: continue from" in output
    assert output.count("\n") == 1


def test_asked_to_stop_all_is_saved(tmp_path):
    number = signal.SIGTERM
    folder = tmp_path / "run"
    process = start("train", "FlipBit", *flags(LONG), "--run-dir", folder, "--quiet")
    await_rows(folder, 2, process)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, output
    assert f"Continue with: hem resume {folder}" in output
    saved = checkpoint.listed(folder / "checkpoints")[-1]
    assert int(saved.name) == rows(folder)[-1]["iteration"]


def test_with_the_parent_the_child_ends(tmp_path):
    process = start("train", "FlipBit", *flags(LONG), "--run-dir", tmp_path / "run", "--quiet")
    await_rows(tmp_path / "run", 2, process)
    child = child_of(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive


def test_an_environment_that_fails_ends_the_run_in_one_line(tmp_path):
    mine = Path(__file__).parents[2] / "docs" / "my_env.py"
    line = "        left, right = action\n"
    fails = f"{line}        MyEnv.count += 1\n        assert MyEnv.count < 1000, 'fell'\n"
    code = mine.read_text().replace(line, fails) + "\n\nMyEnv.count = 0\n"
    (tmp_path / "broken.py").write_text(code)
    settings = "--env-steps 4000 --episodes-per-iteration 8 --updates-per-iteration 2 --slots 4"
    done = called("train", f"{tmp_path / 'broken.py'}:MyEnv", *settings.split(), "--workers", "2",
                  "--run-dir", tmp_path / "run", "--quiet")  # fmt: skip
    assert done.returncode == 2
    assert "fell" in done.stderr
    assert "(in the process of the workers)" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "3"], "episodes-per-iteration (4) must be a multiple of the number of"),
        (["--workers", "4", "--batch-size", "6"], "batch-size (6) must be a multiple of the"),
        (["--workers", "0"], "workers must be at least 1"),
    ],
)
def test_a_number_of_workers_that_cannot_be_is_refused_at_once(tmp_path, words, said):
    done = called("train", "FlipBit", *flags(FLIP), *words, "--run-dir", tmp_path / "run")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_seeds_side_by_side_take_one_worker():
    with pytest.raises(UserError, match="leave out workers"):
        train_seeds("FlipBit", [0], workers=2)
