"""Networks from a flat input to a flat output."""

from __future__ import annotations

import flax.linen as nn
import jax


class MLP(nn.Module):
    """A perceptron with ReLU between its layers: f32[*, I] -> f32[*, O]."""

    hidden: tuple[int, ...]  # units of each hidden layer
    outputs: int  # O

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for units in self.hidden:
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(self.outputs)(x)
