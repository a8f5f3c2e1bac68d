"""Random observations and goals, near those that a policy has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import utils

from hem.envs.spaces.leaves import Leaf, leaves_of
from hem.models import normalizer
from hem.models.inputs import is_image
from hem.runs.loaded_policy import LoadedPolicy

FAR = 2 * normalizer.CLIP  # standard deviations: half of them are clipped


def random_inputs(loaded: LoadedPolicy, rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """N observations and goals, each in its space: their leaves [N, ...], by name."""
    found = {}
    for form, statistics in zip(
        loaded.forms[:2], (loaded.state.obs, loaded.state.goal), strict=True
    ):
        mean, std = (
            np.asarray(x, np.float64) for x in (statistics.mean, normalizer.deviation(statistics))
        )
        at = 0
        for leaf in (leaf for part in form.each for leaf in leaves_of(part.space, part.what)):
            size = 0 if is_image(form.shape) else utils.flatdim(leaf.space)
            found[leaf.name] = _drawn(leaf, rng, n, mean[at : at + size], std[at : at + size])
            at += size
    return found


def _drawn(
    leaf: Leaf, rng: np.random.Generator, n: int, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """N values of a leaf; real numbers uniformly within ten standard deviations of the mean."""
    space: Any = leaf.space
    size, dtype = (n, *(space.shape or ())), space.dtype
    if isinstance(space, spaces.Box) and dtype.kind == "f":
        centre = np.clip(mean.reshape(space.shape), space.low, space.high)
        reach = FAR * std.reshape(space.shape)
        low, high = np.maximum(space.low, centre - reach), np.minimum(space.high, centre + reach)
        drawn = rng.uniform(low, high, size).astype(dtype)
        return np.clip(drawn, space.low, space.high)
    if isinstance(space, spaces.Box):
        whole = np.int64 if dtype.kind == "b" else dtype
        low, high = space.low.astype(whole), space.high.astype(whole)
        return rng.integers(low, high, size, whole, endpoint=True).astype(dtype)
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, size, dtype)
    choices = space.n if isinstance(space, spaces.Discrete) else space.nvec
    return (space.start + rng.integers(0, choices, size)).astype(dtype)
