"""A disk that is full ends a command with one line, and harms nothing that was saved."""

import contextlib
from pathlib import Path

import pytest
import toys
from disk import killed_before, refusing_from
from running import FLIP, TINY, final_bits, without_clock
from running import hem as command
from tensorboardX import record_writer

import hem
from hem import api
from hem.errors import UserError
from hem.runs import trainer
from hem.runs.experiment import Experiment, make_experiment
from hem.system.atomic_io import write_json
from hem.training.metrics import Recorder, read
from hem.training.tensorboard import Events

SHORT = FLIP | {"env_steps": 60}
REACH = TINY | {"horizon": 6, "env_workers": 0, "env_steps": 48, "eval_interval": 24,
                "eval_episodes": 2}  # fmt: skip
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is of Linux")


def row(iteration: int) -> dict:
    return {"iteration": iteration, "env_steps": 10 * iteration, "wall_s": 1.0, "train/loss": 0.5}


def test_a_write_that_is_refused_anywhere_leaves_the_old_file_or_the_new(tmp_path):
    file = tmp_path / "a.json"
    with killed_before(tmp_path, 10**9) as count:
        write_json(file, "old")
    for n in range(count[0]):
        with contextlib.suppress(OSError), refusing_from(tmp_path, n):
            write_json(file, "new")
        assert file.read_text() in ('"old"\n', '"new"\n')


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run on a disk with room."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return hem.train("FlipBit", run_dir=folder, **SHORT).folder


@pytest.mark.parametrize("n", [9, 20, 31, 42])
def test_a_run_that_the_disk_refuses_anywhere_goes_on_once_there_is_room(tmp_path, whole, n):
    with pytest.raises(UserError, match="No space left") as error, refusing_from(tmp_path, n):
        hem.train("FlipBit", run_dir=tmp_path / "run", **SHORT)
    assert str(error.value).isprintable()
    hem.resume(tmp_path / "run")
    assert final_bits(tmp_path / "run") == final_bits(whole)
    assert without_clock(tmp_path / "run") == without_clock(whole)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("n", [20, 31])
def test_what_the_disk_refused_is_told_with_the_command_that_goes_on(tmp_path, n):
    """It is the whole command, with what an environment of one's own needs."""
    with pytest.raises(UserError) as error, refusing_from(tmp_path, n):
        hem.train(f"{toys.__file__}:Reach", run_dir=tmp_path / "run", **REACH)
    assert str(error.value).startswith(f"cannot write to {tmp_path / 'run'}: No space left")
    assert str(error.value).endswith(f", then `hem resume {tmp_path / 'run'} --trust`")


@pytest.mark.parametrize("place", ["iterations", "make_env"])
def test_what_is_not_of_the_disk_is_not_told_as_if_it_were(tmp_path, monkeypatch, place):
    def fail(*_):
        raise OSError("too many open files")

    with api.new_run(make_experiment("FlipBit", **SHORT), tmp_path / "run") as run:
        monkeypatch.setattr(trainer if place == "iterations" else Experiment, place, fail)
        with pytest.raises(OSError, match="too many open files"):
            trainer.train(run, quiet=True)


@needs_full
def test_a_run_goes_on_without_tensorboard(tmp_path, whole, monkeypatch, capsys):
    real = record_writer.RecordWriter
    monkeypatch.setattr(record_writer, "RecordWriter", lambda path: real(str(FULL)))
    hem.train("FlipBit", run_dir=tmp_path / "run", quiet=False, **SHORT)
    said = "".join(capsys.readouterr())
    assert said.count("tensorboard (No space left on device): the run continues without it") == 1
    assert without_clock(tmp_path / "run") == without_clock(whole)


@needs_full
@pytest.mark.parametrize("purge_step", [None, 7])
def test_events_that_are_refused_are_told_once_and_never_raise(tmp_path, monkeypatch, purge_step):
    real = record_writer.RecordWriter
    monkeypatch.setattr(record_writer, "RecordWriter", lambda path: real(str(FULL)))
    events = Events(tmp_path / "tensorboard", purge_step)
    goal_input = []
    for step in range(300):
        events.write({"train/loss": 0.5}, step)
        if step % 100 == 50:
            events.flush()
        goal_input.append(events.failure())
    events.close()
    assert len([words for words in goal_input if words]) == 1
    (tmp_path / "file").touch()
    assert "Not a directory" in str(Events(tmp_path / "file" / "inside", None).failure())


def test_events_are_what_tensorboard_reads(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    for purge_step in (None, 11):
        events = Events(tmp_path, purge_step)
        events.write({"train/loss": 0.5, "eval/success_rate": 1.0}, 10)
        events.close()
        events.write({"train/loss": 0.5}, 11)
    files = sorted(tmp_path.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert len(files) == 2
    found = []
    for file in files:
        data = file.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    assert [event.file_version for event in found].count("brain.Event:2") == 2
    assert [event.step for event in found if event.session_log.status == 1] == [11]
    values = {value.tag: value.simple_value for event in found for value in event.summary.value}
    assert values == {"train/loss": 0.5, "eval/success_rate": 1.0}


@needs_full
def test_metrics_that_are_refused_are_an_error_of_the_disk(tmp_path):
    with Recorder(tmp_path, 0) as recorder:
        recorder.write(row(1))
        recorder.sync()
    recorder = Recorder(tmp_path, 1)
    recorder._file.close()
    recorder._file = FULL.open("a")
    with pytest.raises(OSError, match="No space left"), recorder:
        recorder.write(row(2))
    assert read(tmp_path / "metrics.jsonl") == [row(1)]


@needs_full
def test_what_cannot_be_shown_is_a_line():
    with FULL.open("w") as full:
        result = command("list", stdout=full)
    assert (result.returncode, result.stderr) == (2, "hem: [Errno 28] No space left on device\n")
