"""Suites: every run is trained once, whatever fails or is killed, in turn and on Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from running import TINY, called, hem, kept, rows, start

from hem.runs.suites.engines import InTurn
from hem.runs.suites.suite import run_suite
from hem.runs.suites.suite_file import read_suite

SETTINGS = {**TINY, "bits": 4, "env_steps": 120, "eval_interval": 40, "eval_episodes": 5}
pytestmark = pytest.mark.slow


def written(folder: Path, extra: str = "", seeds: int = 2, **changed) -> Path:
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in SETTINGS.items()}
    lines = [f"{name} = {json.dumps(value)}" for name, value in (values | changed).items()]
    file = folder / "suite.toml"
    file.write_text("\n".join([f"seeds = {seeds}", "[base]", 'env = "FlipBit"', *lines, extra]))
    return file


def not_running(out: Path) -> bool:
    """Whether no process trains a run in a folder."""
    commands = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    return not any(str(out) in " ".join(command) for command in commands)


@pytest.fixture
def without_ray(tmp_path) -> dict[str, str]:
    """An environment in which Ray is not found."""
    blocker = tmp_path / "no-ray" / "sitecustomize.py"
    blocker.parent.mkdir()
    blocker.write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'ray' else found(name, *rest)\n"
    )
    path = [str(blocker.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    done = hem("suite", written(folder, '[grid]\nalgo = ["hem", "her"]'), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs are complete" in done.stdout
    return folder


def test_on_ray_every_run_is_trained_as_by_itself(finished, tmp_path):
    settings = [f"--{name.replace('_', '-')}={v}" for name, v in SETTINGS.items() if v != (8,)]
    alone = called("train", "FlipBit", *settings, "--hidden-dims", "8", "--seed=1", "--quiet",
                   "--run-dir", tmp_path / "alone")  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    assert kept(finished / "out" / "algo=hem" / "seed-1") == kept(tmp_path / "alone")


def test_what_is_complete_is_not_trained_again(finished, tmp_path, trained_here):
    copy = shutil.copytree(finished, tmp_path / "copy")
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("metrics.jsonl")}
    shutil.rmtree(copy / "out" / "algo=her" / "seed-0")
    done = called("suite", copy / "suite.toml", "--out", copy / "out")
    assert "1 of 4 runs to train" in done.stderr
    assert "4 of 4 runs are complete" in done.stdout
    for file, time_ in before.items():
        assert (file.stat().st_mtime_ns == time_) is ("algo=her/seed-0" not in str(file))


def test_a_larger_budget_resumes_every_run(finished, tmp_path, trained_here):
    copy = shutil.copytree(finished, tmp_path / "copy")
    written(copy, '[grid]\nalgo = ["hem", "her"]', env_steps=160)
    done = called("suite", copy / "suite.toml", "--out", copy / "out")
    assert done.returncode == 0, done.stderr
    assert all(rows(run.parent)[-1]["env_steps"] >= 160 for run in copy.rglob("config.json"))


def test_a_run_of_other_settings_in_its_folder_is_refused(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    written(copy, '[grid]\nalgo = ["hem", "her"]', bits=5)
    done = called("suite", copy / "suite.toml", "--out", copy / "out")
    assert done.returncode == 2
    assert "bits is 4, not 5" in done.stderr


def test_a_run_from_before_there_was_a_setting_is_as_one_with_its_default(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    for config in (copy / "out").rglob("config.json"):
        written_then = json.loads(config.read_text())
        del written_then["algo_config"]["skip_achieved"]
        config.write_text(json.dumps(written_then))
    done = called("suite", copy / "suite.toml", "--out", copy / "out")
    assert "4 of 4 runs are complete" in done.stdout, done.stderr
    written(copy, '[grid]\nalgo = ["hem", "her"]', skip_achieved=True)
    done = called("suite", copy / "suite.toml", "--out", copy / "out")
    assert "skip_achieved is False, not True" in done.stderr


def test_without_ray_runs_follow_one_another(tmp_path, in_turn):
    done = called("suite", written(tmp_path), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "one after the other" in done.stderr
    asked = called("suite", written(tmp_path), "--ray-address", "auto")
    assert asked.returncode == 2
    assert "pip install 'hindsight-em[ray]'" in asked.stderr


def test_a_failing_run_is_reported_and_the_others_go_on(tmp_path):
    mine = Path(__file__).parents[3] / "docs" / "my_env.py"
    broken = tmp_path / "broken.py"
    line = "        left, right = action\n"
    broken.write_text(mine.read_text().replace(line, f"{line}        raise RuntimeError('fell')\n"))
    tiny = (
        "episodes_per_iteration = 4\nupdates_per_iteration = 2\neval_episodes = 2\nthreshold = 0.1"
    )
    (tmp_path / "suite.toml").write_text(
        f"[base]\nenv_steps = 60\n{tiny}\nenv_workers = 0\n"
        f'[grid]\nenv = ["{mine}:MyEnv", "{broken}:MyEnv"]\n'
    )
    done = hem("suite", tmp_path / "suite.toml", "--out", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "1 of 2 runs are complete" in done.stdout
    assert "failed: " in done.stderr
    assert "fell" in done.stderr


def test_two_suites_in_one_folder_are_refused_and_the_end_of_one_is_that_of_its_run(
    tmp_path, without_ray
):
    file, out = written(tmp_path, env_steps=1_000_000), tmp_path / "out"
    first = start("suite", file, "--out", out, env=without_ray)
    while not list(out.rglob("metrics.jsonl")):
        assert first.poll() is None
        time.sleep(0.1)
    second = hem("suite", file, "--out", out, env=without_ray)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=120)
    assert second.returncode == 2
    assert "another suite is running" in second.stderr
    assert first.returncode == 128 + signal.SIGTERM
    assert not_running(out)


def test_a_suite_that_failed_no_longer_holds_its_folder(tmp_path):
    class Failing(InTurn):
        def results(self, runs, retries):
            raise RuntimeError("it fell")

    runs, kept_errors = read_suite(written(tmp_path), tmp_path / "out"), []
    for _ in range(2):
        with pytest.raises(RuntimeError, match="it fell") as error:
            run_suite(runs, tmp_path / "out", Failing(), quiet=True)
        kept_errors.append(error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_suite_goes_on_where_it_was(tmp_path, trained_here, number):
    settings = {"env_steps": 4000, "eval_interval": 400, "updates_per_iteration": 50}
    file, out = written(tmp_path, seeds=1, **settings), tmp_path / "out"
    whole = tmp_path / "whole"
    assert called("suite", file, "--out", whole).returncode == 0
    interrupted = start("suite", file, "--out", out)
    while not list(out.glob("*/*/checkpoints/0*")):
        assert interrupted.poll() is None, interrupted.communicate()
        time.sleep(0.05)
    interrupted.send_signal(number)
    interrupted.communicate(timeout=120)
    assert interrupted.returncode == 128 + number
    assert not_running(out)
    done = called("suite", file, "--out", out)
    assert done.returncode == 0, done.stderr
    one, other = (next(root.rglob("config.json")).parent for root in (out, whole))
    assert kept(one) == kept(other)


def test_killed_workers_of_ray_lose_nothing(tmp_path):
    settings = {"env_steps": 6000, "eval_interval": 400, "updates_per_iteration": 50}
    file, out = written(tmp_path, seeds=2, **settings), tmp_path / "out"
    suite, killed = start("suite", file, "--out", out, "--retries", "9"), 0
    while suite.poll() is None and killed < 4:
        for process in psutil.Process(suite.pid).children(recursive=True):
            name = " ".join(process.cmdline()) if process.is_running() else ""
            if name.startswith("ray::execute") and list(out.glob("*/*/checkpoints/0*")):
                process.kill()
                killed += 1
                break
        time.sleep(1.5)
    output = suite.communicate(timeout=200)[0]
    assert suite.returncode == 0, output
    assert killed
    assert "2 of 2 runs are complete" in output


def test_an_address_that_nobody_answers_is_one_line(tmp_path):
    done = hem("suite", written(tmp_path), "--ray-address", "127.0.0.1:1", "--out", tmp_path / "o")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("hem: no Ray cluster at 127.0.0.1:1")


def test_runs_are_compared_by_what_differs(finished):
    done = called("compare", finished / "out", "--success", "0.5", "--json")
    lines = json.loads(done.stdout)
    assert [line["name"] for line in lines] == ["FlipBit, hem", "FlipBit, her"]
    assert all(line["runs"] == 2 for line in lines)
    text = called("compare", finished / "out").stdout
    assert text.startswith("| variant | runs | success |")
    assert called("compare", finished / "nothing").returncode == 2
    assert "above 0" in called("compare", finished / "out", "--success", "1.5").stderr
