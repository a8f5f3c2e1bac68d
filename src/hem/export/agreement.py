"""Whether an exported policy acts as ``predict`` does, on random observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from hem.envs.spaces.codec import encode_rows, value_of
from hem.envs.spaces.leaves import nested
from hem.errors import require
from hem.export.random_inputs import random_inputs
from hem.models import distributions
from hem.runs.loaded_policy import LoadedPolicy
from hem.types import Box

OBSERVATIONS = 1_000
TOLERANCE = 1e-5
AT_ONCE = 2**22  # numbers of observations that are compared together


class Agreement(NamedTuple):
    """How an exported policy agrees with ``predict``."""

    observations: int  # that were compared
    difference: float  # the largest; continuous actions: in units of half the action range
    ties: int  # of them: where the two best actions are within rounding, and another was taken
    temperature: float  # at which ``predict`` samples by itself; the graph never does


def compare(file: bytes, loaded: LoadedPolicy, seed: int = 0) -> Agreement:
    """Compare the policy in an ONNX file with the one that it was made from.

    Args:
        file: the contents of the file.
        loaded: the policy.
        seed: of the observations.

    Raises:
        UserError: they differ.
    """
    import onnxruntime  # noqa: PLC0415  only an export pays for it

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    numbers = sum(int(np.prod(form.shape)) for form in loaded.forms[:2])
    at_once = min(OBSERVATIONS, max(1, AT_ONCE // numbers))
    parts = []
    # Elsewhere than on a CPU, JAX would by default round the factors of matrix products.
    with jax.default_matmul_precision("highest"):
        for first in range(0, OBSERVATIONS, at_once):
            inputs = random_inputs(loaded, rng, min(at_once, OBSERVATIONS - first))
            (found,) = session.run(None, inputs)
            parts.append(_compared(loaded, inputs, found))
    by, tied = (np.concatenate(part) for part in zip(*parts, strict=True))
    wrong = ~(by <= _allowed(loaded)) & ~tied
    require(
        not wrong.any(),
        f"the ONNX graph acts unlike predict on {wrong.any(axis=1).sum()} of {OBSERVATIONS:,} "
        f"random observations, by up to {by[wrong].max(initial=0):.1e}, so it was not written: "
        "please report this, with the policy",
    )
    difference, ties = float(by[~tied].max(initial=0)), int(tied.any(axis=1).sum())
    return Agreement(OBSERVATIONS, difference, ties, loaded.policy.spec.temperature)


def _compared(
    loaded: LoadedPolicy, inputs: dict[str, np.ndarray], found: Any
) -> tuple[np.ndarray, np.ndarray]:
    """By how much each action differs [N, A], and where that is because of a tie."""
    batch = {
        part.what: nested(part.space, part.what, inputs)
        for part in (*loaded.forms.obs.each, loaded.forms.goal)
    }
    expected, _ = loaded.predict(batch, deterministic=True)
    alike = (expected.dtype, expected.shape) == (found.dtype, found.shape)
    require(alike, "the ONNX graph returns actions of another type or shape than predict")
    n = len(expected)
    by = _difference(loaded, expected, found).reshape(n, -1)
    other = ~(by <= _allowed(loaded))
    if other.any() and _chooses(loaded):
        return by, other & (_margins(loaded, batch, n) <= TOLERANCE)
    return by, np.zeros_like(other)


def _difference(loaded: LoadedPolicy, expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """By how much actions differ: discrete ones by 1, others in units of half the action range."""
    if loaded.forms.action.n:
        return np.asarray(expected != found, np.float64)
    return np.abs(np.float64(expected) - np.float64(found)) / _half_range(loaded)


def _allowed(loaded: LoadedPolicy) -> np.ndarray:
    """The differences that are allowed, f64[A]: where dtypes are coarser, also their rounding."""
    space: Any = loaded.forms.action.space
    if loaded.forms.action.n:
        return np.array([TOLERANCE])
    dtype = min(space.dtype, np.dtype(np.float32))  # NumPy orders dtypes by what they can hold
    largest = np.maximum(np.abs(space.low), np.abs(space.high)).astype(dtype)
    return TOLERANCE + np.ravel((largest - np.nextafter(largest, 0)) / _half_range(loaded))


def _half_range(loaded: LoadedPolicy) -> np.ndarray:
    space: Any = loaded.forms.action.space
    return np.asarray((np.float64(space.high) - np.float64(space.low)) / 2)


def _chooses(loaded: LoadedPolicy) -> bool:
    """Whether actions are the best of several, so that rounding can change them."""
    return bool(loaded.forms.action.n) or loaded.policy.spec.head == "binned"


def _margins(loaded: LoadedPolicy, batch: dict[str, Any], n: int) -> np.ndarray:
    """How far the best choice is ahead of the next [N, choices]; relative to it where above 1."""
    spec, rows = loaded.policy.spec, np.arange(n)
    seen = (encode_rows(form, value_of(form, batch), n, rows) for form in loaded.forms[:2])
    outputs = np.asarray(loaded.policy.outputs(loaded.state, *seen), np.float64)
    parts = 1
    if isinstance(spec.action, Box) and not distributions.is_joint(len(spec.action.low), spec.bins):
        parts = len(spec.action.low)
    ranked = np.sort(outputs.reshape(n, parts, -1), axis=-1)
    if ranked.shape[-1] == 1:
        return np.full((n, parts), np.inf)  # there is no choice
    return (ranked[..., -1] - ranked[..., -2]) / np.maximum(1, np.abs(ranked).max(axis=-1))
