"""Observations and goals as an environment has them, to what the network takes."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from hem.envs.spaces.forms import Form
from hem.envs.spaces.leaves import Leaf, leaves_of
from hem.export.onnx_graph import Graph
from hem.models import normalizer
from hem.models.networks import SMALLEST
from hem.models.normalizer import Statistics


def images(graph: Graph, form: Form, frames: int) -> list[str]:
    """An input that is an image, or stacked frames: f32[N, C, H, W] within 0.5, latest first."""
    x = graph.input(form.what, np.uint8, form.space.shape or ())
    if not form.channels_first:
        x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.cast(x, np.float32)
    border = [max(0, SMALLEST - n) for n in form.shape[:2]]
    if any(border):
        x = graph.add("Pad", x, np.array([0] * 6 + border, np.int64))
    x = graph.add("Sub", graph.add("Div", x, np.array(255, np.float32)), np.array(0.5, np.float32))
    return [x] if frames == 1 else graph.split(x, frames, axis=1)[::-1]


def vector(graph: Graph, form: Form) -> str:
    """Inputs for the leaves of any other space: a vector f32[N, D]."""
    leaves = (leaf for part in form.each for leaf in leaves_of(part.space, part.what))
    return graph.concat([_flat(graph, leaf) for leaf in leaves], axis=1)


def normalized(graph: Graph, x: str, statistics: Statistics) -> str:
    """A vector f32[N, D] as the network takes it."""
    return _scaled(graph, graph.add("Sub", x, np.asarray(statistics.mean)), statistics)


def relative_goal(
    graph: Graph, obs: str, goal: str, achieved_at: tuple[int, ...], of_goal: Statistics
) -> str:
    """The goal minus the achieved goal, as the network takes it."""
    achieved = graph.add("Gather", obs, np.array(achieved_at, np.int64), axis=1)
    return _scaled(graph, graph.add("Sub", goal, achieved), of_goal)


def _scaled(graph: Graph, x: str, statistics: Statistics) -> str:
    """In standard deviations, and clipped."""
    scaled = graph.add("Div", x, np.asarray(normalizer.deviation(statistics)))
    low, high = (np.array(bound, np.float32) for bound in (-normalizer.CLIP, normalizer.CLIP))
    return graph.add("Clip", scaled, low, high)


def _flat(graph: Graph, leaf: Leaf) -> str:
    """An input, encoded as f32[N, D]: as it is, or one-hot."""
    space = leaf.space
    x = graph.input(leaf.name, space.dtype, space.shape or ())
    x = graph.add("Flatten", x, axis=1)
    if isinstance(space, spaces.Discrete):
        choices, start = np.array([space.n], np.int64), np.array([space.start])
    elif isinstance(space, spaces.MultiDiscrete):
        choices, start = np.ravel(space.nvec).astype(np.int64), np.ravel(space.start)
    else:
        return graph.cast(x, np.float32)
    which = np.repeat(np.arange(len(choices)), choices)  # value that each of the D is about
    meant = np.concatenate([first + np.arange(n) for first, n in zip(start, choices, strict=True)])
    each = graph.add("Gather", graph.cast(x, np.int64), which, axis=1)
    return graph.cast(graph.add("Equal", each, meant.astype(np.int64)), np.float32)
