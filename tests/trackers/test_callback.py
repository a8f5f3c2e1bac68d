"""Trackers receive each row once, and then the results. They neither stop nor change a run."""

from __future__ import annotations

import json
import math
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running import FLIP, final_bits, kept, rows

import hem as library
from hem.cli.main import main
from hem.errors import NotStartedError, UserError
from hem.runs.session import Iteration
from hem.system.signals import StoppedBySignalError
from hem.trackers import MlflowCallback, TrackerCallback, WandbCallback
from hem.training.schedule import Counters


class Notebook(TrackerCallback):
    """A tracker that remembers what it is told."""

    name = "json"  # any package that is installed

    def __init__(self, last: int = 0) -> None:
        super().__init__()
        self.last, self.rows, self.tracked, self.results, self.sizes = last, [], [], [], {}

    def active_run(self) -> Any:
        return None

    def open(self, tracked):
        self.tracked.append(tracked)
        return self.last

    def log(self, rows):
        self.rows += rows

    def close(self, results):
        self.results.append(results)
        files = [*results.files, *filter(None, [results.film])]
        self.sizes = {file.name: file.stat().st_size for file in files}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """The folder of a run that nobody tracked."""
    return library.train(
        "FlipBit", run_dir=tmp_path_factory.mktemp("runs") / "plain", **FLIP
    ).folder


@pytest.fixture(scope="module")
def book(plain) -> Notebook:
    """What a tracker was told about the same run."""
    book = Notebook()
    library.train("FlipBit", run_dir=plain.parent / "tracked", callback=book, **FLIP)
    return book


def test_offline_the_axis_of_both_trackers_is_updates():
    rows = [{"iteration": 1, "env_steps": 0, "updates": 40, "train/loss": 0.5}]
    sent = []
    mlflow, wandb = MlflowCallback(), WandbCallback()
    mlflow._client = SimpleNamespace(log_batch=lambda run, metrics: sent.extend(metrics))
    mlflow._id = "run"
    mlflow.log(rows)
    assert {metric.step for metric in sent} == {40}
    axes = []
    wandb._active = SimpleNamespace(
        config=SimpleNamespace(update=lambda *given, **how: None), offline=False, resumed=False,
        define_metric=lambda name, step_metric=None: axes.append((name, step_metric)),
    )  # fmt: skip
    for settings in ({"offline": "flip/replay-v0"}, {"offline": None}):
        wandb.open(SimpleNamespace(settings=settings))
    assert [axis for name, axis in axes if name == "*"] == ["updates", "env_steps"]


def test_each_row_arrives_once_and_the_results_at_the_end(plain, book):
    folder = plain.parent / "tracked"
    assert book.rows == rows(folder)
    (tracked,) = book.tracked
    assert (tracked.project, tracked.name, tracked.folder) == ("FlipBit", "tracked", folder)
    assert (
        tracked.settings.items() >= {"env": "FlipBit", "algo": "hem", "bits": 5, "seed": 0}.items()
    )
    (results,) = book.results
    assert results.status == "finished"
    assert results.best == max(row.get("eval/success_rate", 0) for row in book.rows)
    assert set(book.sizes) == {
        "policy.safetensors", "policy.json", "config.json", "curve.png", "replay.mp4",
    }  # fmt: skip
    assert all(book.sizes.values())


def test_the_run_itself_is_the_same(plain, book):
    folder = plain.parent / "tracked"
    assert kept(folder) == kept(plain)
    assert final_bits(folder) == final_bits(plain)


def three(iteration: Iteration) -> bool:
    return iteration.counters.iteration < 3


def test_the_next_session_sends_what_is_missing_to_the_same_run(plain, tmp_path):
    first = Notebook()
    library.train("FlipBit", run_dir=tmp_path / "run", callback=[first, three], **FLIP)
    second = Notebook(last=2)  # it lost a row
    library.resume(tmp_path / "run", callback=second)
    assert first.rows + second.rows[1:] == rows(tmp_path / "run")
    assert second.rows[0] == first.rows[2]
    assert first.tracked[0].id == second.tracked[0].id
    third = Notebook()
    library.resume(tmp_path / "run", callback=third)  # complete; everything is sent all the same
    assert third.rows == rows(tmp_path / "run")
    assert third.results[0].status == "finished"


def said(folder: Path, iteration: int) -> Iteration:
    return Iteration(Counters(iteration=iteration), {}, folder)


def test_a_row_whose_evaluation_was_interrupted_is_sent_once_it_is_complete(plain, tmp_path):
    folder = Path(shutil.copytree(plain, tmp_path / "run"))
    evaluated = [row["iteration"] for row in rows(folder) if "eval/success_rate" in row]
    whole = rows(folder)[: evaluated[1]]
    cut = {tag: value for tag, value in whole[-1].items() if not tag.startswith("eval/")}
    run = library.Run(folder)

    def session(lines: list[dict], last: int, error: BaseException | None) -> Notebook:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text)
        book = Notebook(last)
        book(said(folder, len(whole)))
        book.on_training_end(run, error)
        return book

    first = session([*whole[:-1], cut], 0, StoppedBySignalError(15))
    assert first.rows == whole[:-1]
    assert (first.results[0].status, first.results[0].files) == ("killed", ())
    assert session(whole, len(whole) - 1, None).rows == whole[-1:]
    assert session(whole, len(whole), ValueError()).results[0].status == "failed"


@pytest.mark.parametrize("part", ["open", "log", "close"])
def test_one_that_fails_is_a_line_and_changes_nothing(plain, tmp_path, capsys, monkeypatch, part):
    def fail(*_: Any) -> None:
        raise ConnectionError("no\nnetwork \x1b[31m")

    book = Notebook()
    monkeypatch.setattr(book, part, fail)
    library.train("FlipBit", run_dir=tmp_path / "run", callback=book, **FLIP)
    assert final_bits(tmp_path / "run") == final_bits(plain)
    assert capsys.readouterr().err == (
        "hem: json failed, and the run goes on without it (ConnectionError: no network \\x1b[31m)\n"
    )


def test_one_that_hangs_holds_up_nothing(plain, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(library.trackers.callback.WAIT_S, "finished", 0.05)
    release, book = threading.Event(), Notebook()
    monkeypatch.setattr(book, "open", lambda tracked: release.wait() and math.inf)
    library.train("FlipBit", run_dir=tmp_path / "run", callback=book, **FLIP)
    assert final_bits(tmp_path / "run") == final_bits(plain)
    assert "json did not take everything in 0.05 s" in capsys.readouterr().err
    release.set()


def test_a_run_that_did_not_start_is_not_sent(plain):
    book = Notebook()
    book.on_training_end(library.Run(plain), NotStartedError("no"))
    assert book.tracked == book.results == []


def test_a_missing_package_is_a_line_that_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "no_such_tracker").mkdir()  # as trackers leave where they run
    monkeypatch.syspath_prepend(tmp_path)

    class Missing(Notebook):
        name = "no_such_tracker"

    with pytest.raises(UserError, match=r"run `pip install 'hindsight-em\[no_such_tracker\]'`"):
        Missing()


@pytest.mark.parametrize("identity", ["{}", '{"schema": 1, "id": "\' OR 1"}', '{"schema": 2}'])
def test_a_damaged_identity_is_a_line(plain, tmp_path, capsys, identity):
    folder = shutil.copytree(plain, tmp_path / "run")
    (folder / "json.json").write_text(identity)
    library.resume(folder, callback=(book := Notebook()))
    assert book.tracked == []
    assert "hem: json failed" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["train", "FlipBit", "--run-dir", "new"], ["resume", "run"]])
def test_an_unknown_tracker_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main([*words, "--track", "abacus"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "hem: unknown tracker 'abacus': use mlflow or wandb\n"
    assert not any(tmp_path.iterdir())
