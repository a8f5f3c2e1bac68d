"""What a network sees: normalized vectors, images as they are, and which network that takes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hem.errors import require
from hem.models import normalizer
from hem.models.networks import MLP, ImageMLP
from hem.models.normalizer import Statistics
from hem.types import Array


class Shapes(NamedTuple):
    """The shapes of what is seen."""

    obs: tuple[int, ...]  # of several frames, one after the other along the last axis
    goal: tuple[int, ...]
    frames: int


def network(
    shapes: Shapes, hidden_dims: tuple[int, ...], outputs: int, activation: str = "relu"
) -> MLP | ImageMLP:
    """The network for what is seen, which takes the inputs that ``network_inputs`` returns.

    Raises:
        UserError: images of different shapes.
    """
    pictures = [
        (*shape[:2], shape[2] // frames)
        for shape, frames in ((shapes.obs, shapes.frames), (shapes.goal, 1))
        if is_image(shape)
    ]
    require(
        len(set(pictures)) <= 1,
        f"images of observations and goals must be of one shape, not {pictures}",
    )
    return (ImageMLP if pictures else MLP)(hidden_dims, outputs, activation)


def statistics(shapes: Shapes) -> tuple[Statistics, Statistics]:
    """Of observations and of goals, before any was seen; images have none."""
    sizes = (0 if is_image(shape) else math.prod(shape) for shape in (shapes.obs, shapes.goal))
    of_obs, of_goal = map(normalizer.init, sizes)
    return of_obs, of_goal


def network_inputs(
    shapes: Shapes,
    of_obs: Statistics,
    of_goal: Statistics,
    obs: Array,
    goal: Array,
    *more: jax.Array,
) -> list[Any]:
    """What the network is called with: the images, if there are any, and a vector f32[N, I].

    Args:
        shapes: of one observation and one goal.
        of_obs: running statistics of observations.
        of_goal: running statistics of goals.
        obs: [N, *O].
        goal: [N, *G].
        more: f32[N, J], to be put into the vector as they are.
    """
    vectors, pictures = [], []
    for stats, x, shape, frames in (
        (of_obs, obs, shapes.obs, shapes.frames),
        (of_goal, goal, shapes.goal, 1),
    ):
        if is_image(shape):
            pictures += reversed(jnp.split(jnp.asarray(x), frames, axis=-1))  # latest first
        else:
            vectors.append(normalizer.normalize(stats, flat(x, shape)))
    seen = [pictures] if pictures else []
    vectors += more
    return [*seen, jnp.concatenate(vectors or [jnp.zeros((len(obs), 0), jnp.float32)], axis=-1)]


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether it is u8[H, W, C]: nothing else in hem has three dimensions."""
    return len(shape) == 3


def flat(x: Array, shape: tuple[int, ...]) -> jax.Array:
    """Vectors [*, D] of arrays [*, *shape]."""
    return jnp.reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
