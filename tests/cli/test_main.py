import itertools
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from running import FLIP, await_rows, called, final_bits, flags, hem, kept, kill, rows, start

from hem.cli.commands import COMMANDS
from hem.cli.main import main
from hem.runs import playback
from hem.viz import plot

LONG = FLIP | {"env_steps": 10**9}


def refused(result, *parts: str) -> None:
    """The command ended with 2 and one line that has all the parts."""
    assert result.returncode == 2, result
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    result = called("train", "FlipBit", "--run-dir", folder, *flags(FLIP))
    assert result.returncode == 0, result
    return folder


def test_help_is_there_without_waiting_for_jax():
    result = hem("--help")
    assert result.returncode == 0
    for command in ("train", "resume", "evaluate", "play", "plot", "list"):
        assert f"hem {command}" in result.stdout


def test_help_of_an_environment_shows_what_applies_there():
    flip, navigation = called("train", "FlipBit", "--help"), called("train", "Navigation", "--help")
    assert "--bits" in flip.stdout
    assert "--threshold" not in flip.stdout
    assert "--threshold" in navigation.stdout
    assert "--bits" not in navigation.stdout
    for flag in ("--seed", "--env-steps", "--learning-rate", "--strategy", "--run-dir"):
        assert flag in flip.stdout
    assert "default: 25" in flip.stdout
    geometric = called("train", "FlipBit", "--strategy", "geometric", "--help")
    future = called("train", "FlipBit", "--strategy", "future", "--help")
    assert "--distance-discount" in geometric.stdout
    assert "--distance-discount" not in future.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = called(command, "--help")
    assert result.returncode == 0
    assert "usage: hem" in result.stdout
    assert "(default: )" not in result.stdout  # what has none is required


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tarin"], ["'tarin'", "train"]),
        (["train"], ["no environment given", "FlipBit"]),
        (["train", "FlipBot"], ["'FlipBot'", "did you mean FlipBit?"]),
        (["train", "fetchreach"], ["did you mean FetchReach-v4?"]),
        (["train", "FlipBit", "--algo", "hm"], ["'hm'", "hem"]),
        (["train", "FlipBit", "--strategy", "futre"], ["did you mean future?"]),
        (["train", "FlipBit", "--bist", "3"], ["--bist", "did you mean --bits?"]),
        (["train", "FlipBit", "--zero-strat"], ["did you mean --zero-start?"]),
        (["train", "FlipBit", "--bits", "many"], ["--bits", "many"]),
        (["train", "FlipBit", "--bits", "0"], ["bits", "at least 1", "0"]),
        (["train", "FlipBit", "--batch-size", "0"], ["batch-size", "at least 1"]),
        (
            ["train", "FlipBit", "--updates-per-iteration", "1000000000000"],
            ["updates-per-iteration", "below 2^31"],
        ),
        (["train", "FlipBit", "--learning-rate", "-1"], ["hem: learning-rate must be positive"]),
        (["train", "FlipBit", "--learning-rate", "nan"], ["learning-rate"]),
        (["train", "FlipBit", "--env-steps", "0"], ["env-steps", "at least 1"]),
        (
            ["train", "FlipBit", "--buffer-episodes", "3", "--episodes-per-iteration", "4"],
            ["buffer-episodes (3)"],
        ),
        (["train", "FlipBit", "--seed", "-1"], ["seed"]),
        (["train", "FlipBit", "--buffer-episodes", "1000000000000"], ["GiB", "--buffer-episodes"]),
        (["resume", "no/such/run"], ["no/such/run is not a run folder"]),
        (["evaluate", "no/such/run"], ["no/such/run is not a run folder"]),
        (["play", "no/such/run"], ["no/such/run is not a run folder"]),
        (["plot", "no/such/run"], ["no/such/run"]),
        (["resume"], ["RUN", "`hem resume --help`"]),
    ],
)
def test_bad_input_gets_one_line(tmp_path, arguments, parts):
    refused(called(*arguments, cwd=tmp_path), *parts)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--bits", "many", "Error parsing --bits: invalid literal for int() with base 10: 'many'"),
        ("--bist", "3", "Unrecognized options: --bist, 3; did you mean --bits?"),
        ("--learning-rate", "-1", "learning-rate must be positive and finite, not -1.0"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_bad_input_gets_the_same_line_in_any_encoding(flag, value, said, encoding):
    done = called("train", "FlipBit", flag, value, encoding=encoding)
    assert done.stderr == f"hem: {said} (see `hem train FlipBit --help`)\n"


def test_bad_input_gets_one_line_in_a_terminal_too(tmp_path):
    ours, theirs = pty.openpty()
    colors = os.environ | {"TERM": "xterm-256color"}
    done = hem("train", "FlipBit", "--bist", "3", stdout=theirs, cwd=tmp_path, env=colors)
    os.close(theirs)
    os.close(ours)
    assert done.stderr.startswith("hem: Unrecognized options: --bist")
    assert done.stderr.endswith("; did you mean --bits? (see `hem train FlipBit --help`)\n")
    assert done.stderr.count("\n") == 1


def test_a_network_that_no_memory_holds_gets_one_line(tmp_path):
    vast = ("--hidden-dims", "10000000", "10000000")
    refused(called("train", "FlipBit", *vast, cwd=tmp_path), "not enough memory", "--hidden-dims")


def test_a_resumed_run_shows_how_it_goes_on(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    result = called("resume", copy, "--env-steps", "300")
    assert result.returncode == 0
    assert "evaluation success" in result.stderr
    assert "nothing to do" in called("resume", copy).stderr


def test_evaluate_prints_one_json_object(run):
    result = called("evaluate", run, "--episodes", "30", "--seed", "10", "--json")
    report = json.loads(result.stdout)
    assert set(report) == {
        "success_rate", "final_success_rate", "ci95", "final_ci95", "episodes", "ep_len_mean",
    }  # fmt: skip
    assert report["episodes"] == 30
    refused(called("evaluate", run, "--episodes", "0"), "episodes", "at least 1")
    refused(called("evaluate", run, "--acting-temperature=-1"), "acting-temperature", "at least 0")


def test_a_failure_counts_with_all_its_steps_and_evaluate_says_so(run):
    said = called("evaluate", run, "--episodes", "5", "--acting-temperature", "1e9").stdout
    assert re.search(
        r"^steps to success .* on average, where a failure counts with all", said, re.M
    )


@pytest.mark.parametrize("command", [("train", "FlipBit"), ("evaluate",), ("report",), ("card",)])
def test_no_evaluation_is_said_to_be_greedy_as_some_policies_sample(command):
    assert not re.search(r"\bgreedy\b", called(*command, "--help").stdout, re.IGNORECASE)


def test_play_and_plot_write_their_files(run, tmp_path):
    for name in ("flip.gif", "flip.mp4"):
        assert called("play", run, "--out", tmp_path / name, "--episodes", "1").returncode == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert called("plot", run, "--out", tmp_path / "curves.png").returncode == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    refused(called("play", run, "--out", tmp_path / "flip.doc"), ".doc")
    refused(called("plot", run, "--out", tmp_path / "no" / "such" / "curves.png"), "no/such")


def test_a_file_that_is_being_written_is_gone_once_the_command_is_told_to_end(
    run, tmp_path, monkeypatch
):
    def frames(*_):
        yield np.zeros((4, 4, 3), np.uint8)
        assert any(tmp_path.iterdir())
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(playback, "frames", frames)
    done = called("play", run, "--out", tmp_path / "flip.mp4")
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", "")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["é.png", "t\udcff.png"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_the_output_s_encoding_lacks_is_shown_as_an_escape(monkeypatch, name, encoding):
    monkeypatch.setattr(plot, "curves", lambda runs, out: None)  # not every disk takes these names
    done = called("plot", "run", "--out", name, encoding=encoding)
    assert done.returncode == 0
    assert done.stdout == f"Wrote {name.encode(encoding, 'backslashreplace').decode(encoding)}\n"


def test_list_names_everything():
    listed = hem("list").stdout
    for name in ("FlipBit", "Navigation", "FourRooms", "FetchReach-v4", "hem", "future", "final",
                 "episode", "geometric"):  # fmt: skip
        assert any(line.split()[:1] == [name] for line in listed.splitlines())


def test_an_existing_run_is_not_trained_over(run):
    refused(called("train", "FlipBit", "--run-dir", run, *flags(FLIP)), "hem resume")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    refused(called("train", "FlipBit", "--run-dir", folder, *flags(FLIP)), str(folder))


def test_a_folder_that_cannot_be_made_is_not_said_to_be_resumed(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("file/run", "n" * 300):
        result = called("train", "FlipBit", "--run-dir", folder, cwd=tmp_path)
        refused(result, "cannot write to", "another --run-dir")
        assert "hem resume" not in result.stderr


def test_a_full_disk_stops_in_a_line_and_room_lets_it_go_on(tmp_path, run):
    """A limit on the size of files stands for the disk: writing fails in the middle of a file."""

    folder = tmp_path / "full"
    command = ["train", "FlipBit", "--run-dir", folder, *flags(FLIP), "--quiet"]
    refused(
        hem(*command, under=("bash", "-c", 'ulimit -S -f 3; exec "$@"', "_")),
        str(folder),
        "hem resume",
    )
    assert not list(folder.rglob("*.tmp*"))
    assert called("resume", folder).returncode == 0
    assert final_bits(folder) == final_bits(run)


@pytest.mark.parametrize(
    ("env", "number"), [("FlipBit", signal.SIGTERM), ("FetchReach-v4", signal.SIGINT)]
)
def test_a_signal_saves_says_how_to_go_on_and_ends_soon(tmp_path, env, number):
    folder = tmp_path / "run"
    settings = {name: value for name, value in LONG.items() if name != "bits"}
    process = start("train", env, "--run-dir", folder, *flags(settings))
    await_rows(folder, 3, process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"hem resume {folder}" in said
    assert "Traceback" not in said
    done = rows(folder)[-1]["env_steps"]
    assert called("resume", folder, "--env-steps", str(done + 1)).returncode == 0
    assert rows(folder)[-1]["env_steps"] > done


def test_it_says_which_algorithm_it_took_for_someone_who_named_none(tmp_path, capsys):
    mine = Path(__file__).parents[2] / "docs" / "my_env.py"
    small = {name: FLIP[name] for name in FLIP if name != "bits"} | {"env_steps": 40}
    words = [*flags(small), "--run-dir"]
    main(["train", "FlipBit", *words, str(tmp_path / "flip")])
    assert "which suits FlipBit; choose another with --algo." in capsys.readouterr().out
    main(["train", "FlipBit", "--algo", "hem", *words, str(tmp_path / "named")])
    main(["train", "FlipBit", "--quiet", *words, str(tmp_path / "quiet")])
    assert "Algorithm" not in capsys.readouterr().out
    main(["train", f"{mine}:MyEnv", *words, str(tmp_path / "mine")])
    said = capsys.readouterr().out
    assert f"Algorithm: hem, the default; `hem check {mine}:MyEnv` recommends one." in said


def test_kill_9_at_any_moment_leaves_the_same_run(tmp_path):
    """A moment of each fifth of a run, from shortly before there is a folder to its end."""
    settings = FLIP | {"env_steps": 1000, "eval_interval": 20}
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    process = start("train", "FlipBit", "--run-dir", whole, *flags(settings))
    while not whole.exists():
        time.sleep(0.01)
    first = 0.8 * (time.monotonic() - began)
    process.communicate()
    assert process.returncode == 0
    last = time.monotonic() - began
    chance, killed = random.Random(0), 0
    for fifth in itertools.cycle(range(5)):
        begun = (folder / "config.json").exists()
        command = ["resume"] if begun else ["train", "FlipBit", *flags(settings), "--run-dir"]
        process = start(*command, folder)
        try:
            process.communicate(timeout=first + (last - first) * (fifth + chance.random()) / 5)
        except subprocess.TimeoutExpired:
            kill(process)
            killed += 1
        else:
            assert process.returncode == 0
            assert kept(folder) == kept(whole)
            shutil.rmtree(folder)
        if killed == 5:
            break
    command = ["resume"] if (folder / "config.json").exists() else command
    result = called(*command, folder)
    assert result.returncode == 0, result
    assert kept(folder) == kept(whole)
