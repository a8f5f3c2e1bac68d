"""The file is complete and describes itself, or there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import onnx
import pytest
from gymnasium import spaces
from onnx_files import require_exported, session
from running import untrained
from unlearnt import task_of, unlearnt

import hem
from hem.envs.spaces import plain_data
from hem.envs.spaces.task_spaces import forms_of
from hem.errors import UserError
from hem.export import actions, networks, observations
from hem.export.agreement import Agreement
from hem.export.onnx_graph import Graph
from hem.models import policy as policies
from hem.models.policy import Policy
from hem.registry import load
from hem.runs.policy_file import save_policy
from hem.types import Spaces, Task

POINT = spaces.Box(-1, 1, (2,))
CHOICE = spaces.Discrete(3)
BITS = 25  # of FlipBit, by default


def policy_for(action: spaces.Space) -> tuple[Policy, Task]:
    task = task_of(forms_of(Spaces(POINT, POINT, action)))
    return policies.make(policies.spec_of(task, (8,))), task


@pytest.fixture(scope="module")
def flip(tmp_path_factory) -> Path:
    """A folder with a policy for FlipBit."""
    module = load("environment", "FlipBit")
    task = module.make(module.Config()).task
    policy = policies.make(policies.spec_of(task, (8,)))
    folder = tmp_path_factory.mktemp("flip")
    save_policy(folder, policy, unlearnt(policy), task)
    return folder


def test_a_folder_and_a_file_hold_the_same_policy(flip, tmp_path):
    by_folder = hem.export_onnx(flip, tmp_path / "one.onnx")
    by_file = hem.export_onnx(str(flip / "policy.safetensors"), str(tmp_path / "two.ONNX"))
    assert by_folder == by_file == Agreement(1_000, 0.0, 0, 0.0)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.ONNX").read_bytes()


def test_the_example_says_in_which_order_the_inputs_are(tmp_path):
    docs = Path(__file__).parents[2] / "docs"
    run = untrained(tmp_path / "run", f"{docs / 'my_env.py'}:MyEnv", env_workers=0)
    hem.export_onnx(run, tmp_path / "policy.onnx")
    names = [each.name for each in session(tmp_path / "policy.onnx").get_inputs()]
    assert f"get_inputs()]  # {', '.join(names)}\n" in (docs / "examples/run_onnx.py").read_text()


def test_the_metadata_describe_the_environment(flip, tmp_path):
    hem.export_onnx(flip, tmp_path / "policy.onnx")
    about = json.loads(session(tmp_path / "policy.onnx").get_modelmeta().custom_metadata_map["hem"])
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \| [^i]", text, re.MULTILINE)) == about.keys()
    assert (about["env"], about["horizon"], about["frames"]) == ("FlipBit", BITS, 1)
    built = [
        plain_data.build(msgspec.convert(data, plain_data.SpaceData))
        for data in about["spaces"].values()
    ]
    assert list(about["spaces"]) == ["observation", "desired_goal", "action"]
    bits = spaces.Box(0, 1, (BITS,), "int8")
    assert built == [bits, bits, spaces.Discrete(BITS)]


def test_the_file_is_of_the_versions_that_are_documented(flip, tmp_path):
    hem.export_onnx(flip, tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    assert re.findall(r"opset (\d+)", text) == [str(model.opset_import[0].version)]
    assert re.findall(r"IR version (\d+)", text) == [str(model.ir_version)]
    assert [each.domain for each in model.opset_import] == [""]


normalized = observations.vector


@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [
        (networks, "ACTIVATIONS", {"relu": "LeakyRelu"}),
        (observations, "vector", lambda graph, *rest: graph.add("Neg", normalized(graph, *rest))),
        (actions, "_within", lambda graph, chosen, space: graph.cast(chosen, space.dtype)),
    ],
)
def test_a_graph_that_acts_otherwise_is_refused_and_the_old_file_stays(
    tmp_path, monkeypatch, where, name, wrong
):
    policy, task = policy_for(POINT)
    require_exported(tmp_path, policy, task)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(UserError, match=r"unlike predict on \d+ of 1,000 random observations"):
        hem.export_onnx(tmp_path, tmp_path / "policy.onnx")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("bias", "expected"),
    [((0, 0, 0), (1_000, 0.0, 1_000, 0.0)), ((1e-3, 0, 0), (1_000, 0.0, 0, 0.0))],
)
def test_only_between_equally_good_actions_another_may_be_taken(
    tmp_path, monkeypatch, bias, expected
):
    policy, task = policy_for(CHOICE)
    state = unlearnt(policy)
    for layer in state.params.network["params"].values():
        layer["kernel"][:] = 0
    layer["bias"][:] = bias
    save_policy(tmp_path, policy, state, task)
    add = Graph.add

    def last_of_the_best(graph, operator, *inputs, **attributes):
        more = {"select_last_index": 1} if operator == "ArgMax" else {}
        return add(graph, operator, *inputs, **attributes, **more)

    monkeypatch.setattr(Graph, "add", last_of_the_best)
    assert hem.export_onnx(tmp_path, tmp_path / "policy.onnx") == expected


def test_a_worse_action_is_refused(tmp_path, monkeypatch):
    policy, task = policy_for(CHOICE)
    save_policy(tmp_path, policy, unlearnt(policy), task)
    gemm = networks.mlp
    monkeypatch.setattr(networks, "mlp", lambda graph, *rest: graph.add("Neg", gemm(graph, *rest)))
    with pytest.raises(UserError, match=r"on 1000 of 1,000 .* by up to 1\.0e\+00"):
        hem.export_onnx(tmp_path, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_value_that_is_no_array_is_refused(tmp_path):
    odd = spaces.Dict({"a/b": spaces.OneOf([CHOICE, POINT])})
    task = task_of(forms_of(Spaces(odd, POINT, CHOICE)))
    policy = policies.make(policies.spec_of(task, (4,)))
    save_policy(tmp_path, policy, unlearnt(policy), task)
    with pytest.raises(UserError, match=r"^observation/a~1b is a OneOf, whose values differ"):
        hem.export_onnx(tmp_path, tmp_path / "policy.onnx")


def test_a_policy_that_no_file_holds_is_refused(flip, tmp_path, monkeypatch):
    monkeypatch.setattr("hem.export.onnx_graph.LARGEST", 100)
    with pytest.raises(UserError, match="an ONNX file holds 2: train a smaller network"):
        hem.export_onnx(flip, tmp_path / "policy.onnx")
    assert not any(tmp_path.iterdir())
