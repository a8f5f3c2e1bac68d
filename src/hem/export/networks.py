"""The networks of ``hem.models.networks``, with trained parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hem.export.onnx_graph import Graph
from hem.models.networks import MAPS

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}

Parameters = Mapping[str, Any]  # of a flax module


def mlp(graph: Graph, parameters: Parameters, x: str, activation: str) -> str:
    """An MLP: f32[N, I] -> f32[N, O]."""
    last = len(parameters) - 1
    for i, layer in enumerate(_layers(parameters)):
        x = graph.add("Gemm", x, np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
        x = x if i == last else graph.add(ACTIVATIONS[activation], x)
    return x


def image_mlp(
    graph: Graph,
    parameters: Parameters,
    images: list[str],
    vectors: list[str],
    activation: str,
) -> str:
    """An MLP over image features and vectors.

    Args:
        graph: where it is added.
        parameters: trained.
        images: f32[N, C, H, W].
        vectors: f32[N, I] each; there may be none.
        activation: between layers.
    """
    together = graph.concat(images, axis=0)
    features = _features(graph, parameters["CNN_0"], together, activation)
    first, *others = graph.split(features, len(images), 0) if len(images) > 1 else [features]
    differences = [graph.add("Sub", other, first) for other in others]
    seen = graph.concat([first, *differences, *vectors], axis=1)
    return mlp(graph, parameters["MLP_0"], seen, activation)


def _features(graph: Graph, parameters: Parameters, x: str, activation: str) -> str:
    """Image features: f32[N, C, H, W] -> f32[N, F]."""
    for (_, patch, stride), layer in zip(MAPS, _layers(parameters), strict=True):
        kernel = _convolution(np.asarray(layer["kernel"]), patch, stride)
        x = graph.add("Conv", x, kernel, np.asarray(layer["bias"]), strides=[stride, stride])
        x = graph.add(ACTIVATIONS[activation], x)
    return graph.add("Flatten", graph.add("Transpose", x, perm=[0, 2, 3, 1]), axis=1)


def _convolution(kernel: np.ndarray, patch: int, stride: int) -> np.ndarray:
    """The weights [M, C, patch, patch] of the convolution that is this matrix over patches.

    In a row of ``hem.models.networks.patches`` are span x span blocks of stride x stride pixels.
    """
    span, maps = patch // stride, kernel.shape[1]
    blocks = kernel.reshape(span, span, stride, stride, -1, maps)
    return blocks.transpose(5, 4, 0, 2, 1, 3).reshape(maps, -1, patch, patch)


def _layers(parameters: Parameters) -> list[Any]:
    return [parameters[f"Dense_{i}"] for i in range(len(parameters))]
