"""What onnxruntime makes of an exported policy is what ``predict`` makes of the policy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from generated import acted, seen
from gymnasium import spaces
from hypothesis import assume, example, given, settings
from onnx_files import require_exported
from unlearnt import task_of

from hem import registry
from hem.envs.spaces.task_spaces import forms_of
from hem.models import policy as policies
from hem.models.networks import ENCODERS
from hem.models.policy import PolicySpec
from hem.runs.experiment import make_experiment
from hem.types import Box, Spaces

CELL = spaces.Discrete(8)
POINT = spaces.Box(-1, 1, (2,))
NESTED = spaces.Dict(on=spaces.Tuple([CELL]), odd=spaces.Discrete(2, start=7), pos=POINT)


@settings(max_examples=3)
@given(observation=seen, goal=seen, action=acted)
@example(spaces.MultiDiscrete([[2, 4], [3, 1]], start=[[1, -2], [0, 5]]), POINT, spaces.Discrete(4))
@example(spaces.Dict(z=spaces.Box(-1, 1, (), np.float16)), CELL, spaces.Box(0, 1, ()))
@example(CELL, spaces.MultiBinary([2, 3]), spaces.Box(-3, 1, (2, 2), np.float64))
@example(spaces.Box(0, 1, (5,), np.int8), CELL, spaces.Box(1000, 1001, (3,), np.float16))
@example(
    spaces.Dict(extra=NESTED, z=spaces.Box(0, 9, (1,), np.uint16)),
    spaces.Tuple([spaces.MultiBinary(3), spaces.Box(0, 1, (2,), np.bool_)]),
    spaces.Discrete(5, start=-3, dtype=np.int16),
)
@example(
    spaces.Box(0, 255, (3, 40, 33), np.uint8),
    spaces.Box(0, 255, (40, 33, 3), np.uint8),
    spaces.Box(-1, 1, (2,)),
)
def test_what_an_environment_returns_goes_in_and_what_it_takes_comes_out(
    tmp_path_factory, observation, goal, action
):
    forms = forms_of(Spaces(observation, goal, action))
    images = {form.shape for form in forms[:2] if form.dtype == np.uint8}
    assume(len(images) < 2)  # no network sees images of different shapes
    task = task_of(forms)
    for encoder in ENCODERS if images else ["cnn"]:
        policy = policies.make(policies.spec_of(task, (5, 4), encoder=encoder))
        require_exported(tmp_path_factory.mktemp("policy"), policy, task)


@pytest.mark.parametrize("relative_goals", [False, True])
@pytest.mark.parametrize(
    ("env", "algo"),
    [("FlipBit", "her"), *(("Navigation", name) for name in registry.entries("algorithm"))],
)
def test_policies_of_every_algorithm(tmp_path, env, algo, relative_goals):
    settings = {"hidden_dims": (16, 16), "relative_goals": relative_goals}
    world, algorithm = make_experiment(env, algo, **settings).build()
    assert bool(algorithm.policy.spec.achieved_at) is relative_goals
    require_exported(tmp_path, algorithm.policy, world.task)


@pytest.mark.parametrize(
    ("head", "bins", "dims", "activation"),
    [
        ("", 0, 2, "tanh"),
        ("squashed", 0, 3, "relu"),
        ("binned", 3, 2, "tanh"),
        ("binned", 5, 4, "relu"),
    ],
)
def test_heads(tmp_path, head, bins, dims, activation):
    low, high = tuple(-1.0 * i for i in range(dims)), tuple(2.0 + i for i in range(dims))
    forms = forms_of(Spaces(POINT, POINT, spaces.Box(np.float32(low), np.float32(high))))
    spec = PolicySpec((2,), (2,), Box(low, high), (16, 8), 1, head, bins, activation)
    require_exported(tmp_path, policies.make(spec), task_of(forms))


@pytest.mark.parametrize(
    ("size", "image_goals", "frames"), [(20, True, 2), (44, True, 1), (44, False, 3)]
)
def test_images_of_hem_s_own_environments(tmp_path, task, size, image_goals, frames):
    task = task._replace(
        obs_shape=(size, size, 3),
        obs_dtype=np.dtype(np.uint8),
        action=Box((-1.0, 0.0), (1.0, 3.0)),
        image_goals=image_goals,
        frames=frames,
    )
    run = require_exported(tmp_path, policies.make(policies.spec_of(task, (16,))), task)
    about = json.loads(run.get_modelmeta().custom_metadata_map["hem"])
    assert about["frames"] == frames
    assert run.get_inputs()[0].shape == ["N", size, size, 3 * frames]
