"""Network inputs: normalized vectors and raw images, and the network that takes them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from hem.errors import require
from hem.models import normalizer
from hem.models.networks import MLP, ImageMLP
from hem.models.normalizer import Statistics
from hem.types import Array


class Shapes(NamedTuple):
    """The shapes of the inputs."""

    obs: tuple[int, ...]  # frames stacked along the last axis
    goal: tuple[int, ...]
    frames: int
    achieved_at: tuple[int, ...] = ()  # where obs holds the achieved goal, for relative goals


def network(
    shapes: Shapes,
    hidden_dims: tuple[int, ...],
    outputs: int,
    activation: str = "relu",
    layer_norm: bool = False,
    encoder: str = "cnn",
) -> MLP | ImageMLP:
    """The network for inputs of these shapes, as ``network_inputs`` returns them.

    Raises:
        UserError: images have different shapes.
    """
    images = [
        (*shape[:2], shape[2] // frames)
        for shape, frames in ((shapes.obs, shapes.frames), (shapes.goal, 1))
        if is_image(shape)
    ]
    require(
        len(set(images)) <= 1,
        f"observation and goal images must have the same shape, not {images}",
    )
    if images:
        return ImageMLP(hidden_dims, outputs, activation, layer_norm, encoder)
    return MLP(hidden_dims, outputs, activation, layer_norm)


def statistics(shapes: Shapes) -> tuple[Statistics, Statistics]:
    """Initial statistics of observations and of goals; images have none."""
    sizes = (0 if is_image(shape) else math.prod(shape) for shape in (shapes.obs, shapes.goal))
    of_obs, of_goal = map(normalizer.init, sizes)
    return of_obs, of_goal


def init(network: MLP | ImageMLP, key: jax.Array, shapes: Shapes, *more: jax.Array) -> Any:
    """Initial parameters of the network, with ``more`` inputs f32[1, M] behind the others."""
    obs, goal = (jnp.zeros((1, *shape), jnp.uint8) for shape in shapes[:2])
    return network.init(key, *network_inputs(shapes, *statistics(shapes), obs, goal, *more))


def network_inputs(
    shapes: Shapes,
    of_obs: Statistics,
    of_goal: Statistics,
    obs: Array,
    goal: Array,
    *more: jax.Array,
) -> list[Any]:
    """The arguments of the network: images, if there are any, and a vector f32[N, I].

    The vector has the observation, the goal and, with ``shapes.achieved_at``, how far the goal is
    from what is achieved.

    Args:
        shapes: of one observation and one goal.
        of_obs: running statistics of observations.
        of_goal: running statistics of goals.
        obs: [N, *O].
        goal: [N, *G].
        more: f32[N, J], appended to the vector without normalization.
    """
    vectors, images = [], []
    for stats, x, shape, frames in (
        (of_obs, obs, shapes.obs, shapes.frames),
        (of_goal, goal, shapes.goal, 1),
    ):
        if is_image(shape):
            images += reversed(jnp.split(jnp.asarray(x), frames, axis=-1))  # latest first
        else:
            vectors.append(normalizer.normalize(stats, flat(x, shape)))
    if shapes.achieved_at:
        vectors.append(relative_goal(shapes, of_goal, obs, goal))
    seen = [images] if images else []
    vectors += more
    return [*seen, jnp.concatenate(vectors or [jnp.zeros((len(obs), 0), jnp.float32)], axis=-1)]


def relative_goal(shapes: Shapes, of_goal: Statistics, obs: Array, goal: Array) -> jax.Array:
    """The goal minus the achieved goal, f32[N, G], in standard deviations of goals."""
    achieved = jnp.asarray(obs, jnp.float32)[:, np.array(shapes.achieved_at)]
    desired = flat(jnp.asarray(goal, jnp.float32), shapes.goal)
    chex.assert_equal_shape([desired, achieved])
    return normalizer.clip((desired - achieved) / normalizer.deviation(of_goal))


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether it is the shape of an image u8[H, W, C]: nothing else in hem has three axes."""
    return len(shape) == 3


def flat(x: Array, shape: tuple[int, ...]) -> jax.Array:
    """Flatten arrays [*, *shape] to vectors [*, D]."""
    return jnp.reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
