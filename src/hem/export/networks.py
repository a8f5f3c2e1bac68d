"""The networks of ``hem.models.networks``, with trained parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hem.export.onnx_graph import Graph
from hem.models.networks import FINE_MAPS, MAPS, SMALLEST, Maps, positions

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
    size: tuple[int, int],
) -> str:
    """An MLP over image features and vectors.

    Args:
        graph: where it is added.
        parameters: trained.
        images: f32[N, C, H, W].
        vectors: f32[N, I] each; there may be none.
        activation: between layers.
        size: H and W.
    """
    together = graph.concat(images, axis=0)
    if "CNN_0" in parameters:
        features = _cnn(graph, parameters["CNN_0"], together, activation)
    else:
        points = parameters["SpatialSoftmax_0"]
        features = _spatial_softmax(graph, points, together, activation, size)
    first, *others = graph.split(features, len(images), 0) if len(images) > 1 else [features]
    differences = [graph.add("Sub", other, first) for other in others]
    seen = graph.concat([first, *differences, *vectors], axis=1)
    return mlp(graph, parameters["MLP_0"], seen, activation)


def _cnn(graph: Graph, parameters: Parameters, x: str, activation: str) -> str:
    """Image features: f32[N, C, H, W] -> f32[N, F]."""
    x = graph.add(ACTIVATIONS[activation], _convolved(graph, parameters, x, activation, MAPS))
    return graph.add("Flatten", graph.add("Transpose", x, perm=[0, 2, 3, 1]), axis=1)


def _spatial_softmax(
    graph: Graph, parameters: Parameters, x: str, activation: str, size: tuple[int, int]
) -> str:
    """Image features: f32[N, C, H, W] -> f32[N, F]."""
    height, width = (max(n, SMALLEST) for n in size)
    for _, patch, stride in FINE_MAPS:
        height, width = ((n - patch) // stride + 1 for n in (height, width))
    sharpness = np.asarray(parameters["sharpness"])
    layers = {name: layer for name, layer in parameters.items() if name != "sharpness"}
    maps = _convolved(graph, layers, x, activation, FINE_MAPS)
    flat = graph.add("Reshape", maps, np.array([0, len(sharpness), -1], np.int64))
    share = graph.add("Softmax", graph.add("Mul", flat, sharpness[:, None]), axis=2)
    return graph.add("Flatten", graph.add("MatMul", share, positions(height, width)), axis=1)


def _convolved(graph: Graph, parameters: Parameters, x: str, activation: str, maps: Maps) -> str:
    """Convolutions: f32[N, C, H, W] -> f32[N, M, h, w], without the last activation."""
    for i, ((_, patch, stride), layer) in enumerate(zip(maps, _layers(parameters), strict=True)):
        x = graph.add(ACTIVATIONS[activation], x) if i else x
        kernel = _convolution(np.asarray(layer["kernel"]), patch, stride)
        x = graph.add("Conv", x, kernel, np.asarray(layer["bias"]), strides=[stride, stride])
    return x


def _convolution(kernel: np.ndarray, patch: int, stride: int) -> np.ndarray:
    """The weights [M, C, patch, patch] of the convolution that is this matrix over patches.

    In a row of ``hem.models.networks.patches`` are span x span blocks of stride x stride pixels.
    """
    span, maps = patch // stride, kernel.shape[1]
    blocks = kernel.reshape(span, span, stride, stride, -1, maps)
    return blocks.transpose(5, 4, 0, 2, 1, 3).reshape(maps, -1, patch, patch)


def _layers(parameters: Parameters) -> list[Any]:
    return [parameters[f"Dense_{i}"] for i in range(len(parameters))]
