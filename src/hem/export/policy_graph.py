"""A policy's ``predict`` as one graph: inputs, network, action."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from hem.export import actions, networks, observations
from hem.export.onnx_graph import Graph
from hem.models.inputs import is_image
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.provenance import provenance

if TYPE_CHECKING:
    from onnx import ModelProto

OUTPUT = "action"


def build(loaded: LoadedPolicy) -> ModelProto:
    """The policy as an ONNX model.

    Raises:
        UserError: an input is not an array, or the model is too large for a file.
    """
    graph, spec, space = Graph(), loaded.policy.spec, loaded.forms.action.space
    outputs = _network(graph, loaded)
    chosen = actions.action(graph, outputs, spec, loaded.forms.action)
    about = description(loaded)
    model = graph.model(OUTPUT, chosen, space.dtype, space.shape or (), {"hem": json.dumps(about)})
    model.producer_name, model.producer_version = "hem", about["hem_version"]
    return model


def description(loaded: LoadedPolicy) -> dict[str, Any]:
    """What the metadata says of the policy."""
    described = loaded.described
    return {
        "hem_version": provenance()["versions"]["hindsight-em"],
        "env": described.task,
        "version_hash": described.version_hash,
        "horizon": described.horizon,
        "frames": described.network.frames,
        "spaces": msgspec.to_builtins(described.spaces),
    }


def _network(graph: Graph, loaded: LoadedPolicy) -> str:
    """The outputs of the network, with the inputs that it needs."""
    spec, state = loaded.policy.spec, loaded.state
    images, raw, vectors = [], [], []
    for form, statistics, frames in (
        (loaded.forms.obs, state.obs, spec.frames),
        (loaded.forms.goal, state.goal, 1),
    ):
        if is_image(form.shape):
            images += observations.images(graph, form, frames)
        else:
            seen = observations.vector(graph, form)
            raw.append(seen)
            vectors.append(observations.normalized(graph, seen, statistics))
    if spec.achieved_at:
        obs, goal = raw
        left = observations.relative_goal(graph, obs, goal, spec.achieved_at, state.goal)
        vectors.append(left)
    parameters = state.params.network["params"]
    if not images:
        return networks.mlp(graph, parameters, graph.concat(vectors, 1), spec.activation)
    height, width, _ = spec.obs_shape if is_image(spec.obs_shape) else spec.goal_shape
    size = height, width
    return networks.image_mlp(graph, parameters, images, vectors, spec.activation, size)
