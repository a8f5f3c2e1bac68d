"""Whatever is in the files of a run: it works, or one line says what is wrong."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import jax
import pytest
from disk import contents
from hypothesis import strategies as st
from rich.console import Console
from running import FLIP

import hem
from hem.errors import UserError
from hem.looking.watch import WatchedRun
from hem.runs import checkpoint
from hem.runs.run import Run
from hem.runs.suites.execute import is_complete
from hem.runs.suites.suite_file import PlannedRun
from hem.runs.suites.summary import compare
from hem.system.atomic_io import remove
from hem.training import metrics
from hem.training.learning import init_state
from hem.training.loop import Counters
from hem.viz import curve_groups
from hem.viz.progress import Progress

NOT_THERE = object()
WRONG = (
    NOT_THERE,
    None,
    True,
    -1,
    2.5,
    1e300,
    10**30,
    10**400,
    "",
    "x",
    [],
    [1],
    {},
    {"a": []},
    [[[]]],
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "flip"
    return hem.train("FlipBit", run_dir=folder, **FLIP).folder


@pytest.fixture(scope="module")
def copy(finished, tmp_path_factory) -> Path:
    """A run whose files each example damages anew."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("copies") / "flip")


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """The path of every value within JSON."""
    if not isinstance(value, (dict, list)):
        return [at]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [at, *(place for key, part in inner for place in places(part, (*at, key)))]


def put(value: Any, place: tuple, wrong: Any) -> Any:
    """The same JSON with another value in a place, or none."""
    if not place:
        return {} if wrong is NOT_THERE else wrong
    parts = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    parts[place[0]] = put(parts[place[0]], place[1:], wrong)
    if len(place) == 1 and wrong is NOT_THERE:
        del parts[place[0]]
    return parts if isinstance(value, dict) else list(parts.values())


@st.composite
def other_values(draw: Callable, text: str) -> bytes:
    value = json.loads(text)
    place = draw(st.sampled_from(places(value)))
    return json.dumps(put(value, place, draw(st.sampled_from(WRONG)))).encode()


@st.composite
def other_bytes(draw: Callable, data: bytes) -> bytes:
    start = draw(st.integers(0, len(data)))
    dropped = draw(st.sampled_from([0, 1, 7, len(data)]))
    added = draw(
        st.binary(max_size=4) | st.sampled_from([b"[" * 9999, b"\x00" * 50, b'{"a":' * 9999])
    )
    return data[:start] + added + data[start + dropped :]


def damaged(text: str) -> st.SearchStrategy[bytes]:
    return other_values(text) | other_bytes(text.encode())


def works_or_says_why_not(*uses: Callable[[], Any]) -> None:
    for use in uses:
        try:
            use()
        except UserError as error:
            said = str(error)
        else:
            continue
        assert said.isprintable()


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=300)
def test_configurations(finished, copy, data):
    (copy / "config.json").write_bytes(data.draw(damaged((finished / "config.json").read_text())))

    def build() -> None:
        Run(copy).experiment.build()

    works_or_says_why_not(build, lambda: curve_groups._load(copy))


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=300)
def test_metrics(finished, copy, data):
    lines = (finished / "metrics.jsonl").read_text().splitlines(keepends=True)
    number = data.draw(st.integers(0, len(lines) - 1))
    line = data.draw(damaged(lines[number]))
    ended = data.draw(st.sampled_from([b"\n", b""]))
    file = copy / "metrics.jsonl"
    file.write_bytes(
        b"".join(
            [*map(str.encode, lines[:number]), line + ended, *map(str.encode, lines[number + 1 :])]
        )
    )
    before = file.read_bytes()

    def show() -> None:
        shown = Progress("title", 100, console=Console(file=io.StringIO(), force_terminal=True))
        with shown:
            for row in metrics.read_until(file, 5):
                shown.update(row)

    def watch() -> None:
        watched = WatchedRun(copy)
        watched.lines(watched.look())

    planned = PlannedRun("flip", "FlipBit", "hem", "future", FLIP, copy)
    works_or_says_why_not(
        lambda: hem.read_metrics(copy),
        lambda: curve_groups._load(copy),
        lambda: compare([copy]),
        lambda: is_complete(planned),
        show,
        watch,
    )
    assert file.read_bytes() == before


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=200)
def test_checkpoints(finished, copy, data):
    run = Run(finished)
    env, algorithm = run.experiment.build()
    template = jax.eval_shape(
        lambda: init_state(env.task, algorithm, 0, run.experiment.run.buffer_episodes)
    )
    newest = checkpoint.listed(copy / "checkpoints")[-1]
    good = finished / "checkpoints" / newest.name
    arrays = (good / "state.safetensors").read_bytes()
    described = json.loads((good / "checkpoint.json").read_text())
    if data.draw(st.booleans()):
        (newest / "checkpoint.json").write_bytes(data.draw(damaged(json.dumps(described))))
    else:  # by one who knows how to make a checksum
        arrays = data.draw(other_bytes(arrays[:2000])) + arrays[2000:]
        described["sha256"] = [hashlib.sha256(arrays).hexdigest()]
        (newest / "checkpoint.json").write_text(json.dumps(described))
    (newest / "state.safetensors").write_bytes(arrays)
    (copy / "checkpoints" / "best.json").write_bytes(
        data.draw(damaged('{"checkpoint": "0000000002"}'))
    )
    works_or_says_why_not(
        lambda: checkpoint.load_latest(
            copy / "checkpoints", lambda at: checkpoint.load(at, template, Counters)
        ),
        lambda: checkpoint._prune(copy / "checkpoints"),
    )


def test_links_in_a_run_lead_no_write_outside_of_it(finished, tmp_path):
    mine = shutil.copytree(finished, tmp_path / "mine")
    theirs = shutil.copytree(finished, tmp_path / "theirs")
    before = contents(theirs)
    for name in ("config.json", "metrics.jsonl", "policy.safetensors", "policy.json", "curve.png"):
        (mine / name).unlink()
        (mine / name).symlink_to(theirs / name)
    (mine / ".config.json.1.tmp").symlink_to(theirs)
    hem.resume(mine, env_steps=220)
    assert not any((mine / name).is_symlink() for name in ("config.json", "metrics.jsonl"))
    assert contents(theirs) == before
    for name in ("checkpoints", "tensorboard", ".lock"):
        folder = shutil.copytree(finished, tmp_path / name)
        remove(folder / name)
        (folder / name).symlink_to(theirs / name)
        with pytest.raises(UserError):
            hem.resume(folder, env_steps=230)
        assert contents(theirs) == before
