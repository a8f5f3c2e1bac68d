"""`hem paper`: experiments are trained once, go on after interruptions, and say what they cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import hem

from hem.cli.main import main
from hem.paper.experiment_file import names


def said(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    """The status, output and errors of `hem paper` in this process."""
    status = 0
    try:
        main(["paper", *map(str, arguments)])
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    return status, *capsys.readouterr()


def test_the_list_names_every_experiment_and_where_it_is_from(capsys):
    status, out, _ = said(capsys, "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == names()
    assert "Figure 11c" in out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["fig-2"], ["no experiment 'fig-2'", "fig-3a"]),
        (["fig-3a", "--budget", "tiny"], ["smoke, quick, full", "'tiny'"]),
        (["fig-3a", "--seeds", "-1"], ["seeds must be at least 1, not -1"]),
        (["fig-3a", "--seeds", "some"], ["--seeds"]),
        (["fig-3a", "--cores", "0"], ["cores must be at least 1"]),
        ([], ["hem paper list"]),
        (["all", "--budget", "full"], ["core-hours", "--yes", "--seeds"]),
    ],
)
def test_bad_input_gets_one_line(capsys, tmp_path, arguments, parts):
    status, _, err = said(capsys, *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert len(err.strip().splitlines()) == 1, err
    assert all(part in err for part in parts), err


def test_what_it_will_cost_is_said_before_anything_begins(capsys, tmp_path):
    asked = ("all", "--budget", "full", "--dry-run", "--out", tmp_path / "out")
    status, out, _ = said(capsys, *asked)
    assert status == 0
    assert "core-hours" in out
    assert not (tmp_path / "out").exists()


def test_a_theorem_needs_no_training(capsys, tmp_path):
    status, out, _ = said(capsys, "theorem-3", "--out", tmp_path)
    assert status == 0
    assert "Theorem 3" in out
    assert {file.name for file in tmp_path.iterdir()} == {"theorem-3.png", "theorem-3-detour.png"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("paper")
    done = hem("paper", "fig-3b", "--budget", "smoke", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 0 of them finished" in done.stdout
    assert "| hEM, geometric | 1 |" in done.stdout
    assert (out / "fig-3b-smoke.png").exists()
    assert (out / "fig-3b-smoke.md").read_text() in done.stdout
    return out


@pytest.mark.slow
def test_another_experiment_has_the_runs_it_shares(finished, capsys):
    status, out, _ = said(capsys, "fig-10a", "--budget", "smoke", "--out", finished)
    assert status == 0
    assert "1 runs, 1 of them finished; the others cost about 0.0 core-hours" in out
    assert "| N = 2 | 1 |" in out


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    rows = sorted(copy.rglob("metrics.jsonl"))
    shutil.rmtree(rows[0].parent)
    (rows[1].parent / "curve.png").unlink()  # it is drawn last
    done = hem("paper", "fig-3b", "--budget", "smoke", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 1 of them finished" in done.stdout
    assert "2 of 3 runs to train" in done.stderr
    assert len(list(copy.rglob("curve.png"))) == 3


@pytest.mark.slow
def test_what_is_missing_is_said(finished, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "copy")
    config = next(copy.rglob("config.json"))
    config.write_text("{")
    status, out, err = said(
        capsys, "fig-3b", "--budget", "smoke", "--out", copy, "--retries", "0", "--quiet"
    )
    assert status != 0
    assert "config.json" in err + out


@pytest.mark.slow
def test_everything_runs(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    asked = ("all", "--budget", "smoke", "--out", str(out), "--quiet")
    done = subprocess.run(  # a minute, on two cores of their own
        [sys.executable, "-m", "hem", "paper", *asked], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in names():
        assert f"\n{name}: " in done.stdout
