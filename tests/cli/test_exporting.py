"""``hem export`` writes one thing, or says in one line why not."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from onnx_files import require_equal, session
from unlearnt import unlearnt

from hem.cli.main import main
from hem.models import policy as policies
from hem.registry import load
from hem.runs.policy_file import load_policy, save_policy


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder with a policy."""
    module = load("environment", "Navigation")
    task = module.make(module.Config()).task
    policy = policies.make(policies.spec_of(task, (8,)))
    folder = tmp_path_factory.mktemp("run")
    save_policy(folder, policy, unlearnt(policy), task)
    return folder


def refused(capsys, *arguments: str | Path) -> str:
    """The one line with which the command ends."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in ("export", *arguments)])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("hem: ")
    assert said.err.count("\n") == 1
    return said.err


def test_it_writes_the_policy_and_says_how_well_it_agrees(run, tmp_path, capsys):
    file = tmp_path / "policy.onnx"
    main(["export", str(run), "--onnx", str(file)])
    said = capsys.readouterr().out
    start = f"Wrote {file}; largest difference from predict on 1,000 random observations: "
    assert said.startswith(start)
    assert 0 <= float(said.removeprefix(start)) < 1e-5
    assert said.count("\n") == 1
    require_equal(load_policy(run), session(file))
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]


def test_it_says_that_the_graph_does_not_sample(run, tmp_path, capsys):
    loaded = load_policy(run)
    sampling = policies.make(dataclasses.replace(loaded.policy.spec, temperature=0.25))
    module = load("environment", "Navigation")
    save_policy(tmp_path, sampling, loaded.state, module.make(module.Config()).task)
    main(["export", str(tmp_path), "--onnx", str(tmp_path / "policy.onnx")])
    assert "evaluates this policy by samples at temperature 0.25" in capsys.readouterr().out
    require_equal(load_policy(run), session(tmp_path / "policy.onnx"))


@pytest.mark.parametrize(
    "words", [["--seed", "5"], ["--episodes", "3"], ["--replay"], ["--explore"]]
)
def test_what_a_graph_ignores_is_refused(run, tmp_path, capsys, words):
    line = refused(capsys, run, "--onnx", tmp_path / "policy.onnx", *words)
    assert line == f"hem: an ONNX graph holds no episodes: leave out {words[0]}\n"
    assert not any(tmp_path.iterdir())


def test_something_has_to_be_written(run, capsys):
    assert "say what to write, and only one thing: --onnx FILE" in refused(capsys, run)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("policy.pt", "its name must end in .onnx"),
        ("policy", "its name must end in .onnx"),
        ("no/such/policy.onnx", "there is no folder"),
        ("file/policy.onnx", "there is no folder"),
        ("taken.onnx", "cannot write"),
        (f"{'n' * 300}.onnx", "cannot write"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(run, tmp_path, capsys, name, said):
    (tmp_path / "file").touch()
    (tmp_path / "taken.onnx").mkdir()
    line = refused(capsys, run, "--onnx", tmp_path / name)
    assert said in line
    assert str(tmp_path / name) in line
    assert {path.name for path in tmp_path.iterdir()} == {"file", "taken.onnx"}


def test_what_is_not_a_run_is_named(tmp_path, capsys):
    for run in (tmp_path / "no such run", tmp_path):
        assert str(run) in refused(capsys, run, "--onnx", tmp_path / "policy.onnx")
    damaged = tmp_path / "policy.safetensors"
    damaged.write_bytes(b"\0" * 20)
    assert f"{damaged} is not a hem policy" in refused(
        capsys, tmp_path, "--onnx", tmp_path / "policy.onnx"
    )
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_the_extra_is_named(run, tmp_path, capsys, monkeypatch, absent):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == absent else find(name, *rest),
    )
    line = refused(capsys, run, "--onnx", tmp_path / "policy.onnx")
    assert "run `pip install 'hindsight-em[onnx]'`" in line
    assert not any(tmp_path.iterdir())
