"""Exported policies of tests, and what they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from unlearnt import unlearnt

import hem
from hem.models.policy import Policy
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.policy_file import load_policy, save_policy
from hem.types import Task


def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def require_exported(folder: Path, policy: Policy, task: Task) -> onnxruntime.InferenceSession:
    """Save a policy that has learned nothing, export it, and compare the two."""
    save_policy(folder, policy, unlearnt(policy), task)
    agreement = hem.export_onnx(folder, folder / "policy.onnx")
    names = {"policy.safetensors", "policy.json", "policy.onnx"}
    assert {file.name for file in folder.iterdir()} == names
    loaded = load_policy(folder)
    assert agreement.observations == 1_000
    assert agreement.difference <= tolerance(loaded)
    run = session(folder / "policy.onnx")
    require_equal(loaded, run)
    return run


def require_equal(loaded: LoadedPolicy, run: onnxruntime.InferenceSession, n: int = 4) -> None:
    """Both give the same valid actions, for a batch and for each of its rows."""
    obs, goal, action = (form.space for form in loaded.forms)
    space = batch_space(spaces.Dict(observation=obs, desired_goal=goal), n)
    space.seed(5)
    batch = space.sample()
    inputs = named(batch["observation"], "observation") | named(
        batch["desired_goal"], "desired_goal"
    )
    assert inputs.keys() == {each.name for each in run.get_inputs()}
    (found,) = run.run(["action"], inputs)
    expected, _ = loaded.predict(batch, deterministic=True)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=tolerance(loaded), atol=tolerance(loaded))
    for row in range(n):
        (alone,) = run.run(None, {name: x[row : row + 1] for name, x in inputs.items()})
        np.testing.assert_allclose(alone[0], found[row], atol=10 * tolerance(loaded))
        assert action.contains(np.asarray(alone[0]))


def named(value, name: str) -> dict[str, np.ndarray]:
    """The arrays of a batch by their names, as docs/deploy.md says."""
    if not isinstance(value, (dict, tuple)):
        return {name: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, part in parts for k, v in named(part, f"{name}/{key}").items()}


def tolerance(loaded: LoadedPolicy) -> float:
    """What rounding may do to actions of some units."""
    return 2e-3 if loaded.forms.action.space.dtype == np.float16 else 1e-5
