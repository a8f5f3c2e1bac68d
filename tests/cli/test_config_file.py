"""Configuration files: what ``hem config`` prints is what ``hem train --config`` takes."""

import json
import tomllib

import msgspec
import pytest
from running import FLIP, called, final_bits, flags, rows

from hem.cli.config_file import as_toml, read_config
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.runs.run import new_config
from hem.system.atomic_io import write_json

ASKED = ("env", "algo", "strategy", "env_config", "algo_config", "strategy_config", "run")


def config(folder) -> dict:
    data = json.loads((folder / "config.json").read_text())
    return {name: data[name] for name in ASKED}


@pytest.mark.parametrize("algo", ["hem", "her", "gcsl", "mpo", "hpg"])
def test_every_setting_survives_the_file(tmp_path, algo):
    settings = {"env_kwargs": {"text": 'a "b"\\é\x7f', "n": 1}, "horizon": 9, "env_steps": 77}
    experiment = make_experiment("PointMaze_UMaze-v3", algo, **settings)
    file = tmp_path / "run.toml"
    file.write_text(as_toml(experiment.to_json()))
    read = read_config(file)
    names = [read.pop(name, None) for name in ("env", "algo", "strategy")]
    assert make_experiment(*names, **read) == experiment


def test_a_run_is_repeated_from_its_file_and_flags_win(tmp_path):
    first = called("train", "FlipBit", *flags(FLIP), "--run-dir", tmp_path / "first", "--quiet")
    assert first.returncode == 0, first.stderr
    printed = called("config", tmp_path / "first")
    assert printed.returncode == 0, printed.stderr
    assert tomllib.loads(printed.stdout)["bits"] == 5
    file = tmp_path / "flip.toml"
    file.write_text(printed.stdout)
    again = called("train", "--config", file, "--run-dir", tmp_path / "again", "--quiet")
    assert again.returncode == 0, again.stderr
    assert config(tmp_path / "again") == config(tmp_path / "first")
    assert final_bits(tmp_path / "again") == final_bits(tmp_path / "first")
    words = ("--run-dir", tmp_path / "other", "--seed", "7", "--env-steps", "40", "--quiet")
    other = called("train", f"--config={file}", *words)
    assert other.returncode == 0, other.stderr
    changed = config(tmp_path / "other")
    assert (changed["run"]["seed"], changed["env_config"]["bits"]) == (7, 5)


def test_a_file_may_hold_any_flag_of_the_command(tmp_path):
    text = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in FLIP.items()]
    more = ['env = "FlipBit"', 'run-dir = "mine"', "quiet = true", "max_time = 1e-9"]
    (tmp_path / "c.toml").write_text("\n".join(more + text))
    done = called("train", "--config", "c.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "mine")) == 1
    shown = called("train", "--config", "c.toml", "--help", cwd=tmp_path)
    assert "default: 5" in shown.stdout


@pytest.mark.parametrize(("text", "parts"), [
    ('env = "FlipBit"\nbist = 3', ["no setting bist", "bits"]),
    ('env = "FlipBit"\nbits = 0', ["bits", "at least 1"]),
    ('env = "FlipBit"\nbits = "5"', ["bits must be an integer"]),
    ('env = "FlipBit"\nuntil = 2', ["until must be in"]),
    ('env = "FlipBit"\nquiet = 1', ["quiet must be True or False"]),
    ('env = "FlipBit"\nalgo = "hm"', ["unknown algorithm 'hm'"]),
    ('env = "FlipBit"\nalgo = "gcsl"\nstrategy = "final"', ["uses no hindsight strategy"]),
    ("env = 3", ["env must be a string"]),
    ("bits = 5", ["no environment given"]),
    ("[base]\nbits = 5", ["[base] is a table"]),
    ("bits 5", ["is not a TOML file"]),
])  # fmt: skip
def test_a_bad_file_gets_one_line_that_names_it(tmp_path, text, parts):
    (tmp_path / "c.toml").write_text(text)
    done = called("train", "--config", "c.toml", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    for part in [*parts, *(["c.toml"] if "env" in text else [])]:
        assert part in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


NASTY = "\x1b]0;owned\x07 \x9b31m \u202e"  # a terminal would obey


@pytest.mark.parametrize("part", ["env_config", "algo_config", "strategy_config", "run"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({NASTY: 1}, "is not the name of a setting"),
        ({"a = 1\nb": 1}, "is not the name of a setting"),
        ({"bits": {"deep": NASTY}}, "bits must be a number"),
        ({"bits": [1, {NASTY: None}]}, "bits must be a number"),
    ],
)
def test_what_no_setting_is_gets_one_line(tmp_path, part, settings, said):
    write(tmp_path, part, settings)
    done = called("config", tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"hem: {tmp_path / 'config.json'} is not usable: ")
    assert said in done.stderr
    assert done.stderr.strip().isprintable()


def test_a_strangers_text_is_only_text(tmp_path):
    write(tmp_path, "env_config", {"reward": NASTY})
    done = called("config", tmp_path)
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert tomllib.loads(done.stdout)["reward"] == NASTY


def write(folder, part: str, settings: dict) -> None:
    """The ``config.json`` of a run with these settings in a part."""
    experiment = make_experiment("FlipBit")
    config = new_config(experiment, experiment.make_env().task)
    write_json(folder / "config.json", config | {part: settings})


def test_files_that_are_not_there_are_named(tmp_path):
    assert "there is no file" in called("train", "--config", tmp_path / "no.toml").stderr
    assert "there is no file" in called("config", tmp_path).stderr
    with pytest.raises(UserError, match="there is no file"):
        read_config(tmp_path / "no.toml")
