"""What messages advise to do with a run can be done as it is written."""

from __future__ import annotations

import errno
import re
import shlex
from pathlib import Path

import pytest
from running import FLIP, LEARNER, called, untrained

from hem import api
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.runs.run import Run
from hem.runs.run_folder import on_disk

MINE = str(Path(__file__).parents[2] / "docs" / "my_env.py") + ":MyEnv"
SETTINGS = {"FlipBit": {"bits": 5}, MINE: {"env_workers": 0}}
QUICK = {name: FLIP[name] for name in FLIP if name != "bits"} | {"env_steps": 4}


@pytest.fixture(params=SETTINGS)
def run(request, tmp_path) -> Path:
    """A run that has not begun, with a policy, in a folder whose name a shell would split."""
    return untrained(tmp_path / "it's a run", request.param, **SETTINGS[request.param] | QUICK)


def advised(said: str) -> list[str]:
    """The words of the command in a message, less ``hem``."""
    (command,) = re.findall(r"\b(hem (?:resume|evaluate) .*?)(?:`.*)?$", said.strip())
    return shlex.split(command)[1:]


def watched(run: Path) -> str:
    return called("watch", run).stdout.splitlines()[-1]


def refused(run: Path) -> str:
    return called("train", "FlipBit", "--run-dir", run).stderr


def on_a_full_disk(run: Path) -> str:
    opened = Run(run, trust=True)
    with pytest.raises(UserError) as full, on_disk(run, opened.continuation):
        raise OSError(errno.ENOSPC, "full")
    return str(full.value)


@pytest.mark.parametrize("message", [watched, refused, on_a_full_disk])
def test_what_continues_a_run_does_so(run, message):
    resume = advised(message(run))
    assert resume[:2] == ["resume", str(run)]
    done = called(*resume, "--quiet")
    assert done.returncode == 0, done.stderr
    for said in (done.stdout, watched(run)):
        evaluate = advised(said)
        assert evaluate[:2] == ["evaluate", str(run)]
        found = called(*evaluate, "--episodes", "1")
        assert found.returncode == 0, found.stderr


def test_where_only_a_program_can_go_on_it_is_told_how(tmp_path, monkeypatch):
    strategy = make_experiment(
        "FlipBit", "hem", lambda key, replay, index: index.step + 1, **LEARNER
    )
    with api.new_run(strategy, tmp_path / "run") as run:
        pass
    call = f"hem.resume({str(run.folder)!r}, strategy=...)"
    assert run.continuation == f"`{call}`"
    assert watched(run.folder).endswith(f"Go on with: {call}")
    assert f"continue it with `{call}`" in refused(run.folder)


def test_a_run_that_cannot_be_read_gets_the_command_that_says_why(run):
    (run / "config.json").write_text("{")
    assert advised(refused(run)) == ["resume", str(run)]
    assert "config.json is damaged" in called("resume", run).stderr
