"""`hem paper`: experiments are trained once, go on after interruptions, and say what they cost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running import called, training_here

from experiments.paper.results import store
from hem.paper.experiment_file import names


def test_the_list_names_every_experiment_and_where_it_is_from():
    done = called("paper", "list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == names()
    assert "Figure 11c" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["fig-2"], ["no experiment 'fig-2'", "fig-3a"]),
        (["fig-3a", "--budget", "tiny"], ["smoke, quick, full", "'tiny'"]),
        (["fig-3a", "--seeds", "-1"], ["seeds must be at least 1, not -1"]),
        (["fig-3a", "--seeds", "some"], ["--seeds"]),
        (["fig-3a", "--stored", "nowhere"], ["nowhere has no records", "experiments/results"]),
        (["fig-3a", "--cores", "0"], ["cores must be at least 1"]),
        ([], ["hem paper list"]),
        (["all", "--budget", "full"], ["core-hours", "--yes", "--seeds"]),
    ],
)
def test_bad_input_gets_one_line(tmp_path, arguments, parts):
    done = called("paper", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def test_what_it_will_cost_is_said_before_anything_begins(tmp_path):
    asked = ("all", "--budget", "full", "--dry-run", "--out", tmp_path / "out")
    done = called("paper", *asked)
    assert done.returncode == 0
    assert "core-hours" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_theorem_needs_no_training(tmp_path):
    done = called("paper", "theorem-3", "--out", tmp_path)
    assert done.returncode == 0
    assert "Theorem 3" in done.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"theorem-3.png", "theorem-3-detour.png"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        training_here(patch)
        done = called("paper", "fig-3b", "--budget", "smoke", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 0 of them finished" in done.stdout
    assert "| hEM, geometric | 1 |" in done.stdout
    assert (out / "fig-3b-smoke.png").exists()
    assert (out / "fig-3b-smoke.md").read_text() in done.stdout
    return out


@pytest.mark.slow
def test_another_experiment_has_the_runs_it_shares(finished, trained_here):
    done = called("paper", "fig-10a", "--budget", "smoke", "--out", finished)
    assert done.returncode == 0
    assert "1 runs, 1 of them finished; the others cost about 0.0 core-hours" in done.stdout
    assert "| N = 2 | 1 |" in done.stdout


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(finished, tmp_path, trained_here):
    copy = shutil.copytree(finished, tmp_path / "copy")
    rows = sorted(copy.rglob("metrics.jsonl"))
    shutil.rmtree(rows[0].parent)
    (rows[1].parent / "curve.png").unlink()  # it is drawn last
    done = called("paper", "fig-3b", "--budget", "smoke", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 1 of them finished" in done.stdout
    assert "2 of 3 runs to train" in done.stderr
    assert len(list(copy.rglob("curve.png"))) == 3


@pytest.mark.slow
def test_what_is_stored_is_not_trained_again(finished, tmp_path, trained_here):
    """Runs are stored in two steps, of two folders: what neither has is what is left to train."""
    records = tmp_path / "records"
    for index in (0, 1):
        out = shutil.copytree(finished, tmp_path / f"out-{index}")
        rows = sorted(out.rglob("metrics.jsonl"))
        for other in {0, 1, 2} - {index}:
            shutil.rmtree(rows[other].parent)
        (said,) = store(out, "smoke", "fig-3b", records)
        assert said == f"fig-3b: {index + 1} of 3 runs"
    done = called(
        "paper", "fig-3b", "--budget", "smoke", "--out", tmp_path / "new", "--stored", records
    )
    assert done.returncode == 0, done.stderr
    assert "3 runs, 2 of them finished" in done.stdout
    assert len(list((tmp_path / "new").rglob("curve.png"))) == 1
    lines = (tmp_path / "new" / "fig-3b-smoke.md").read_text().splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["1", "1", "1"]


@pytest.mark.slow
def test_what_is_missing_is_said(finished, tmp_path, trained_here):
    copy = shutil.copytree(finished, tmp_path / "copy")
    config = next(copy.rglob("config.json"))
    config.write_text("{")
    done = called(
        "paper", "fig-3b", "--budget", "smoke", "--out", copy, "--retries", "0", "--quiet"
    )
    assert done.returncode != 0
    assert "config.json" in done.stderr + done.stdout


@pytest.mark.slow
def test_everything_runs(finished, tmp_path, trained_here):
    out = shutil.copytree(finished, tmp_path / "out")
    done = called("paper", "all", "--budget", "smoke", "--out", out, "--quiet")
    assert done.returncode == 0, done.stderr
    for name in names():
        assert f"\n{name}: " in done.stdout
