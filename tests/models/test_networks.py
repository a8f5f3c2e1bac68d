"""The MLP against NumPy, convolutions against those of XLA."""

from __future__ import annotations

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hem.models.networks import (
    CNN,
    ENCODERS,
    FINE_MAPS,
    MAPS,
    MLP,
    Encoder,
    ImageMLP,
    SpatialSoftmax,
    patches,
)


@pytest.mark.parametrize("hidden", [(), (7,), (8, 5, 3)])
def test_mlp_is_affine_maps_with_relu_between_them(hidden):
    rng = np.random.default_rng(0)
    network = MLP(hidden, 2)
    x = rng.normal(size=(3, 6, 4)).astype(np.float32)
    drawn = network.init(jax.random.key(0), x)["params"]
    assert [drawn[f"Dense_{i}"]["kernel"].shape for i in range(len(drawn))] == list(
        zip((4, *hidden), (*hidden, 2), strict=True)
    )
    layers = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), drawn)

    expected = x
    for i in range(len(layers)):
        layer = layers[f"Dense_{i}"]
        expected = expected @ layer["kernel"] + layer["bias"]
        if i < len(hidden):
            expected = expected * (expected > 0)
    got = network.apply({"params": layers}, x)
    assert got.shape == (3, 6, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_initial_weights_depend_on_the_key():
    x = np.zeros((1, 4), np.float32)
    one, other = (MLP((5,), 2).init(jax.random.key(seed), x) for seed in (0, 1))
    kernels = [drawn["params"]["Dense_0"]["kernel"] for drawn in (one, other)]
    assert (np.asarray(kernels[0]) != kernels[1]).all()


def as_kernel(matrix: np.ndarray, patch: int, stride: int, channels: int) -> np.ndarray:
    """The kernel [patch, patch, C, maps] of the convolution that ``patches @ matrix`` is.

    A patch lists blocks row by row, and within a block pixels row by row.
    """
    span = patch // stride
    blocks = matrix.reshape(span, span, stride, stride, channels, -1)
    return blocks.transpose(0, 2, 1, 3, 4, 5).reshape(patch, patch, channels, -1)


def convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> jax.Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=dimensions
    )


@pytest.mark.parametrize(("patch", "stride"), [(4, 4), (4, 2), (3, 1), (8, 4), (1, 1)])
def test_patches_times_a_matrix_are_a_convolution(patch, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 23, 19, 3)).astype(np.float32)
    seen = patches(x, patch, stride)
    matrix = rng.normal(size=(seen.shape[-1], 5)).astype(np.float32)
    expected = convolution(x, as_kernel(matrix, patch, stride, 3), stride)
    np.testing.assert_allclose(seen @ matrix, expected, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(48, 48), (84, 84), (33, 50)])
def test_the_network_is_convolutions_with_relu_between_them(height, width):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    network = CNN()
    drawn = network.init(jax.random.key(0), images)
    expected, channels = images / np.float32(255) - np.float32(0.5), 3
    for layer, (maps, patch, stride) in enumerate(MAPS):
        dense = drawn["params"][f"Dense_{layer}"]
        kernel = as_kernel(np.asarray(dense["kernel"]), patch, stride, channels)
        expected = np.maximum(convolution(expected, kernel, stride) + dense["bias"], 0)
        channels = maps
    got = network.apply(drawn, images)
    np.testing.assert_allclose(got, np.reshape(expected, (2, -1)), atol=1e-4)
    assert np.asarray(got).std() > 0


def test_a_small_picture_gets_a_border():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 32, 3), np.uint8)
    network = CNN()
    drawn = network.init(jax.random.key(0), images)
    padded = np.pad(images, ((0, 0), (0, 12), (0, 0), (0, 0)))
    np.testing.assert_array_equal(network.apply(drawn, images), network.apply(drawn, padded))


def test_spatial_softmax_points_at_the_place_where_maps_are_active():
    """Against SciPy: the mean position under the softmax of each map."""
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 36, 3), np.uint8)
    network = SpatialSoftmax()
    drawn = network.init(jax.random.key(0), images)["params"]
    drawn["sharpness"] = np.linspace(0.5, 20, 64, dtype=np.float32)
    x = images / 255 - 0.5
    for layer, (_, patch, stride) in enumerate(FINE_MAPS):
        dense = drawn[f"Dense_{layer}"]
        x = np.maximum(x, 0) if layer else x
        x = np.asarray(patches(x, patch, stride)) @ dense["kernel"] + dense["bias"]
    height, width = x.shape[1:3]
    share = scipy.special.softmax(x * drawn["sharpness"], axis=(1, 2))
    down = (share * np.linspace(-3, 3, height)[:, None, None]).sum((1, 2))
    right = (share * np.linspace(-3, 3, width)[:, None]).sum((1, 2))
    wanted = np.stack([down, right], axis=-1).reshape(2, -1)
    found = network.apply({"params": drawn}, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_moves_in_the_image_moves_the_points():
    """A bright square, one stride of the first convolution further: as far on its grid."""
    images = np.zeros((2, 48, 48, 1), np.uint8)
    images[0, 16:24, 20:28] = images[1, 16:24, 24:32] = 255
    network = SpatialSoftmax()
    drawn = network.init(jax.random.key(1), images)["params"]
    drawn["sharpness"] = np.full(64, 200, np.float32)  # nearly the place of the largest value
    before, after = np.asarray(network.apply({"params": drawn}, images)).reshape(2, 64, 2)
    moved = np.isclose(after - before, [0, 6 / 9], atol=0.05).all(axis=1)  # of 10 x 10 positions
    assert moved.sum() > 20  # maps that are most active at the square, not beside it


def test_each_encoder_can_be_asked_for():
    assert get_args(Encoder) == tuple(ENCODERS)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("size", [16, 48])
def test_every_encoder_takes_every_size(encoder, size):
    images = [np.zeros((2, size, size, 3), np.uint8)]
    network = ImageMLP((8,), 2, encoder=encoder)
    drawn = network.init(jax.random.key(0), images, np.zeros((2, 1), np.float32))
    assert network.apply(drawn, images, np.zeros((2, 1), np.float32)).shape == (2, 2)


def drawn_pictures(k: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (k, 2, 32, 32, 3), np.uint8))


def test_pictures_and_a_vector_all_matter():
    images = drawn_pictures(2)
    vector = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4)), jnp.float32)
    network = ImageMLP((16,), 3)
    drawn = network.init(jax.random.key(0), images, vector)
    out = np.asarray(network.apply(drawn, images, vector))
    assert out.shape == (2, 3)
    for i in range(2):
        others = [255 - x if i == j else x for j, x in enumerate(images)]
        assert (np.asarray(network.apply(drawn, others, vector)) != out).all()
    assert (np.asarray(network.apply(drawn, images, -vector)) != out).all()


def test_the_perceptron_is_told_features_of_the_first_picture_and_how_others_differ():
    images, vector = drawn_pictures(3), np.zeros((2, 0), np.float32)
    network, convolutions = ImageMLP((), 5), CNN()
    drawn = network.init(jax.random.key(0), images, vector)["params"]
    first, *others = (convolutions.apply({"params": drawn["CNN_0"]}, x) for x in images)
    dense = drawn["MLP_0"]["Dense_0"]
    goal_input = np.concatenate([first, *(x - first for x in others)], axis=1)
    np.testing.assert_allclose(
        network.apply({"params": drawn}, images, vector),
        goal_input @ dense["kernel"] + dense["bias"],
        rtol=1e-4,
        atol=1e-4,
    )
