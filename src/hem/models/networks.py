"""Networks from vectors and images to a flat output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hem.types import Array

Encoder = Literal["cnn", "spatial-softmax"]
Maps = tuple[tuple[int, int, int], ...]  # of each convolution: channels, kernel size, stride
MAPS: Maps = ((32, 4, 4), (64, 4, 2), (64, 3, 1))
FINE_MAPS: Maps = ((32, 4, 4), (64, 3, 1))  # of more positions
FARTHEST = 3.0  # the coordinates of the image's edges, as large as a normalized input may well be
SMALLEST = 32  # pixels; smaller images are padded
ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}


class MLP(nn.Module):
    """An MLP: f32[*, I] -> f32[*, O]."""

    hidden_dims: tuple[int, ...]  # hidden layer sizes
    outputs: int  # O
    activation: str = "relu"  # after each hidden layer, of ACTIVATIONS
    layer_norm: bool = False  # before each activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for units in self.hidden_dims:
            x = nn.Dense(units)(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = ACTIVATIONS[self.activation](x)
        return nn.Dense(self.outputs)(x)


class CNN(nn.Module):
    """Image features: u8[N, H, W, C] -> f32[N, F], all values of the last maps."""

    activation: str = "relu"

    @nn.compact
    def __call__(self, images: Array) -> jax.Array:
        maps = ACTIVATIONS[self.activation](convolved(images, MAPS, self.activation))
        return maps.reshape(len(maps), -1)


class SpatialSoftmax(nn.Module):
    """Image features: u8[N, H, W, C] -> f32[N, F], the place in the image that each map points at.

    It is the mean position under the softmax of the map (Levine et al. 2016, "End-to-end training
    of deep visuomotor policies"), times a learned sharpness: two features per map.
    """

    activation: str = "relu"

    @nn.compact
    def __call__(self, images: Array) -> jax.Array:
        maps = convolved(images, FINE_MAPS, self.activation)
        n, height, width, channels = maps.shape
        sharpness = self.param("sharpness", nn.initializers.ones, (channels,))
        share = nn.softmax(maps.reshape(n, height * width, channels) * sharpness, axis=1)
        return jnp.einsum("npc,pk->nck", share, positions(height, width)).reshape(n, -1)


ENCODERS = {"cnn": CNN, "spatial-softmax": SpatialSoftmax}


class ImageMLP(nn.Module):
    """An MLP over image features and a vector: K u8[N, H, W, C], f32[N, I] -> f32[N, O].

    All images share the same encoder. For all but the first image, the MLP sees the difference
    of its features from the first's: what moved, or how the goal differs. (With images stacked
    along the channels, it estimated velocities with twice the error.)
    """

    hidden_dims: tuple[int, ...]
    outputs: int
    activation: str = "relu"
    layer_norm: bool = False
    encoder: str = "cnn"  # of ENCODERS

    @nn.compact
    def __call__(self, images: Sequence[Array], vector: Array) -> jax.Array:
        features = ENCODERS[self.encoder](self.activation)
        first, *others = jnp.split(features(jnp.concatenate(images)), len(images))
        seen = [first, *(other - first for other in others), vector]
        mlp = MLP(self.hidden_dims, self.outputs, self.activation, self.layer_norm)
        return mlp(jnp.concatenate(seen, axis=-1))


def convolved(images: Array, maps: Maps, activation: str) -> jax.Array:
    """Layers of a flax module: u8[N, H, W, C] -> f32[N, h, w, M], without the last activation.

    Each convolution is a matrix product over patches. Inside a scan on the CPU this is 20 to 40
    times as fast as XLA's own convolution, and elsewhere no slower.
    """
    border = [(0, 0), *((0, max(0, SMALLEST - n)) for n in images.shape[1:3]), (0, 0)]
    x = jnp.pad(jnp.asarray(images), border)
    for layer, (channels, patch, stride) in enumerate(maps):
        x = ACTIVATIONS[activation](x) if layer else x
        x = patches(x, patch, stride)
        if layer == 0:  # not earlier: bytes move four times as fast as floats
            x = x.astype(jnp.float32) / 255 - 0.5
        x = nn.Dense(channels)(x)
    return x


def positions(height: int, width: int) -> np.ndarray:
    """The coordinates of a grid that covers an image, f32[height * width, 2]: down, and right."""
    down, right = (np.linspace(-FARTHEST, FARTHEST, n) for n in (height, width))
    return np.stack(np.meshgrid(down, right, indexing="ij"), axis=-1).reshape(-1, 2).astype("f4")


def patches(x: Array, patch: int, stride: int) -> jax.Array:
    """Return the patch at each position of a convolution, without padding.

    Args:
        x: [N, H, W, C].
        patch: height and width of a patch, a multiple of ``stride``.
        stride: between positions.

    Returns:
        [N, (H - patch) // stride + 1, (W - patch) // stride + 1, patch * patch * C]; the order
        within a patch is fixed, but not row by row.
    """
    n, height, width, channels = x.shape
    span = patch // stride  # a patch is span x span blocks, each stride x stride pixels
    rows, columns = (height - patch) // stride + 1, (width - patch) // stride + 1
    tall, wide = rows + span - 1, columns + span - 1
    blocks = x[:, : tall * stride, : wide * stride]
    blocks = blocks.reshape(n, tall, stride, wide, stride * channels).swapaxes(2, 3)
    blocks = blocks.reshape(n, tall, wide, stride * stride * channels)
    shifted = [blocks[:, i : i + rows, j : j + columns] for i in range(span) for j in range(span)]
    return jnp.concatenate(shifted, axis=-1)
