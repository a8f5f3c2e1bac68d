"""Watching a run: what is new is shown, until the run ends."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from running import FLIP, await_rows, called, flags, kill, rows, start

from hem.errors import UserError
from hem.looking.watch import WatchedRun, watch
from hem.runs.run_folder import held


@pytest.fixture
def run(flips, tmp_path) -> Path:
    """A run that has ended, with a budget that is not spent."""
    folder = shutil.copytree(flips[0], tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["run"]["env_steps"] = 1000
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def put(run: Path, found: list[dict], more: str = "") -> None:
    text = "".join(json.dumps(row) + "\n" for row in found) + more
    side = run / "side"
    side.write_text(text)
    side.replace(run / "metrics.jsonl")


def drawn(watched: WatchedRun, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(watched.display)
    return console.file.getvalue()


def test_rows_are_new_once_and_the_end_is_told(run):
    found = rows(run)
    watched = WatchedRun(run)
    with held(run):
        put(run, found[:3])
        assert watched.look() == found[:3]
        assert watched.look() == []
        put(run, found[:4], '{"iteration": 5, "env_st')  # a line half written
        assert watched.look() == found[3:4]
        put(run, found[:5])
        assert watched.look() == found[4:5]
        assert not watched.has_ended
        assert "training" in drawn(watched)
    assert watched.look() == []
    assert watched.has_ended
    said = f"Not running: {found[4]['env_steps']} of 1,000 steps. Go on with: hem resume {run}"
    assert watched.lines([]) == [said]


def test_a_run_that_learns_offline_is_told_by_its_updates(run):
    config = json.loads((run / "config.json").read_text())
    config["run"] |= {"offline": "flip/replay-v0", "updates": 500}
    (run / "config.json").write_text(json.dumps(config))
    put(run, [row | {"env_steps": 0, "updates": 40 * i} for i, row in enumerate(rows(run), 1)])
    watched, last = WatchedRun(run), 40 * len(rows(run))
    lines = watched.lines(watched.look())
    assert lines[-2].startswith(f"{last} of 500 updates, ")
    assert lines[-1] == f"Not running: {last} of 500 updates. Go on with: hem resume {run}"
    assert f"{last} of 500 updates" in drawn(watched)
    assert " steps/s" not in drawn(watched)


def test_what_a_resumed_run_repeats_or_completes_is_new_again(run):
    found = rows(run)
    watched = WatchedRun(run)
    with held(run):
        put(run, found[:5])
        watched.look()
        put(run, found[:3])
        assert watched.look() == []
        again = [row | {"train/loss": 7.0} for row in found[3:5]]
        put(run, [*found[:3], *again])
        assert watched.look() == again
        assert "loss 7" in drawn(watched)
        completed = again[-1] | {"eval/success_rate": 0.125}
        put(run, [*found[:3], again[0], completed])
        assert watched.look() == [completed]
        assert "0.125" in drawn(watched)
        config = json.loads((run / "config.json").read_text())
        config["run"]["env_steps"] = 123_456
        (run / "config.json").write_text(json.dumps(config))
        watched.look()
        assert "123,456" in drawn(watched)


def test_a_run_that_has_just_begun_is_waited_for(run):
    put(run, [])
    watched = WatchedRun(run)
    with held(run):
        assert watched.look() == []
        assert "waiting for the first iteration" in drawn(watched)
        (run / "metrics.jsonl").unlink()
        assert watched.look() == []
        assert not watched.has_ended


@pytest.mark.parametrize("width", [30, 80, 200])
def test_it_shows_a_tall_curve_and_the_latest_evaluations_in_any_width(run, width):
    found = [
        {"iteration": i, "env_steps": 10 * i, "wall_s": i / 2, "train/loss": 1.5,
         "eval/success_rate": i / 100, "eval/final_success_rate": i / 200}
        for i in range(1, 101)
    ]  # fmt: skip
    put(run, found)
    watched = WatchedRun(run)
    watched.look()
    lines = drawn(watched, width).splitlines()
    assert max(map(len, lines)) <= width
    curve = [line for line in lines if "█" in line or "▁" in line]
    assert [line[-2:].strip() for line in curve] == ["1", "", "", "", "0"]
    heights = [sum(" ▁▂▃▄▅▆▇█".index(row[at]) for row in curve) for at in range(len(curve[0]) - 2)]
    assert heights == sorted(heights)
    assert heights[-1] == 5 * 8
    table = [re.findall(r"[\d.,]+", line) for line in lines if line.endswith("1.5 ")]
    steps = [row[0] for row in table]
    assert steps == ([] if width == 30 else ["950", "960", "970", "980", "990", "1,000"])
    assert width == 30 or table[-1] == ["1,000", "50.0", "1.000", "0.500", "1.5"]


def test_without_a_terminal_an_ended_run_is_a_line_per_row(flips):
    console = Console(file=io.StringIO(), force_terminal=False)
    watch([flips[0]], console)
    *lines, last = console.file.getvalue().splitlines()
    assert len(lines) == len(rows(flips[0]))
    for line, row in zip(lines, rows(flips[0]), strict=True):
        assert line.startswith(f"{row['env_steps']} of 200 steps, {row['wall_s']:.1f} s")
        assert ("evaluation success" in line) == ("eval/success_rate" in row)
    assert last == f"Done: {flips[0]}. Evaluate it with: hem evaluate {flips[0]}"


def test_of_several_runs_each_line_says_which(flips):
    console = Console(file=io.StringIO(), force_terminal=False)
    watch(flips[:2], console)
    lines = console.file.getvalue().splitlines()
    for run in flips[:2]:
        assert sum(line.startswith(f"{run}: ") for line in lines) == len(rows(run)) + 1
    assert len(lines) == 2 * (len(rows(flips[0])) + 1)


def test_no_name_controls_the_terminal(run):
    config = json.loads((run / "config.json").read_text()) | {"env": "a\x1b[2Jb", "algo": "[red]"}
    (run / "config.json").write_text(json.dumps(config))
    watched = WatchedRun(run)
    watched.look()
    assert "\x1b" not in drawn(watched)
    assert r"[red] · a\x1b[2Jb" in drawn(watched)


def test_it_changes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]}
    watch([run], Console(file=io.StringIO()))
    assert {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]} == before
    (run / ".lock").unlink()
    watch([run], Console(file=io.StringIO()))
    assert not (run / ".lock").exists()


def damaged(run: Path, name: str, text: str) -> Path:
    (run / name).write_text(text)
    return run


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda run: run / "absent", "there is no run in .*absent"),
        (lambda run: run.parent, "it has not begun"),
        (lambda run: run / "metrics.jsonl", "there is no run in"),
        (lambda run: damaged(run, "config.json", "{"), r"config.json is damaged"),
        (lambda run: damaged(run, "metrics.jsonl", "{\n{}\n"), "line 1 of .* is damaged"),
    ],
)
def test_what_cannot_be_watched_gets_one_line(run, make, words):
    with pytest.raises(UserError, match=words) as caught:
        watch([make(run)], Console(file=io.StringIO()))
    assert "\n" not in str(caught.value)


def test_no_run_is_refused():
    done = called("watch")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no run" in done.stderr


def test_a_run_is_watched_from_another_shell_until_it_is_stopped(tmp_path):
    folder = tmp_path / "run"
    settings = flags(FLIP | {"env_steps": 10**9})
    training = start("train", "FlipBit", "--run-dir", folder, *settings, "--quiet")
    try:
        await_rows(folder, 2, training)
        with start("watch", folder) as watching:
            first = watching.stdout.readline()
            training.send_signal(signal.SIGTERM)
            training.communicate(timeout=60)
            *lines, last = watching.stdout  # not communicate: the first line was read with others
    finally:
        if training.poll() is None:
            kill(training)
    assert re.match(r"\d+ of 1,000,000,000 steps", first), first
    assert watching.returncode == 0
    assert 1 + len(lines) == len(rows(folder))
    assert last.endswith(f"Go on with: hem resume {folder}\n")


def test_ctrl_c_leaves_the_terminal_clean_and_the_run_alone(run):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "hem", "watch", str(run)]
    with (
        held(run),
        subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process,
    ):
        os.close(theirs)
        written = b""
        while b"training" not in written:
            written += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while data := os.read(ours, 4096):
                written += data
        except OSError:
            pass  # so the other end's closing is told on Linux
    os.close(ours)
    assert process.returncode == 130
    assert b"Traceback" not in written
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")  # the cursor is back
