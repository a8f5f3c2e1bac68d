"""A network's outputs to the greedy action, as its environment takes it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from hem.envs.spaces.forms import ActionForm
from hem.export.onnx_graph import Graph
from hem.models import distributions
from hem.models.policy import PolicySpec
from hem.types import Box


def action(graph: Graph, outputs: str, spec: PolicySpec, form: ActionForm) -> str:
    """The greedy actions [N, *A] for a head's inputs f32[N, P], in the action space."""
    if isinstance(form.space, spaces.Discrete):
        best = graph.add("ArgMax", outputs, axis=1, keepdims=0)
        numbered = graph.add("Add", best, np.asarray(form.space.start).astype(np.int64))
        return graph.cast(numbered, form.space.dtype)
    assert isinstance(form.space, spaces.Box)
    assert isinstance(spec.action, Box)
    if spec.head == "binned":
        chosen = _binned(graph, outputs, spec.action, spec.bins)
    else:
        chosen = _mean(graph, outputs, spec)
    return _within(graph, chosen, form.space)


def _mean(graph: Graph, outputs: str, spec: PolicySpec) -> str:
    """The mean of a Gaussian, in the action's units: f32[N, A]."""
    mean = graph.add("Tanh", outputs) if spec.head == "squashed" else outputs
    low, high = (np.array(bound, np.float32) for bound in spec.action)
    return graph.add("Add", graph.add("Mul", mean, (high - low) / 2), (high + low) / 2)


def _binned(graph: Graph, outputs: str, action: Box, bins: int) -> str:
    """The most likely cell of a grid: f32[N, A]."""
    dims = len(action.low)
    greedy = distributions.binned(action, bins).greedy
    if distributions.is_joint(dims, bins):  # a logit for each cell of the whole grid
        cells = np.asarray(greedy(jnp.eye(bins**dims)))
        return graph.add("Gather", cells, graph.add("ArgMax", outputs, axis=1, keepdims=0), axis=0)
    values = np.asarray(greedy(jnp.tile(jnp.eye(bins), dims)))  # [bins, dims]
    each = graph.add("Reshape", outputs, np.array([0, dims, bins], np.int64))
    best = graph.add("ArgMax", each, axis=2, keepdims=0)
    place = graph.add("Add", best, bins * np.arange(dims, dtype=np.int64))
    return graph.add("Gather", values.T.ravel(), place, axis=0)


def _within(graph: Graph, chosen: str, space: spaces.Box) -> str:
    """Actions f32[N, A] in the dtype and the shape of their space, clipped to its bounds."""
    shaped = graph.add("Reshape", chosen, np.array([0, *space.shape], np.int64))
    typed = graph.cast(shaped, space.dtype)
    return graph.add("Min", graph.add("Max", typed, space.low), space.high)
