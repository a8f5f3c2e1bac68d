"""The perceptron against NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hem.networks import MLP


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
