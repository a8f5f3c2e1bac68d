"""Action distributions: the heads that interpret a network's outputs.

A head is a record of pure functions of ``outputs`` f32[N, P] and its own global ``params``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from hem.types import Array, Box, Discrete

MIN_LOG_STD = -4.0  # an unbounded likelihood would dominate the gradients
START = math.log(math.expm1(math.log(0.5) - MIN_LOG_STD))  # of ``params``: a std of 0.5
LOWEST = 1e-30  # temperature: what is lower may be 0 in float32
JOINT = 100  # maximum number of grid cells that have a logit each


class Exploration(NamedTuple):
    """How actions are chosen during data collection."""

    random_eps: float | jax.Array = 0.0  # discrete: probability of a uniformly random action
    action_noise: float = 0.0  # continuous: std of added noise, in units of half the range
    temperature: float = 1.0  # samples are from pi^(1/temperature)


ITSELF = Exploration()  # samples of the policy itself


class Head(NamedTuple):
    """A family of distributions over actions.

    ``explore`` takes one key per row, so that an action depends only on its own episode.
    """

    outputs: int  # P, the number of network outputs
    init: Callable[[], Array]  # () -> initial global parameters
    log_prob: Callable[[Array, Array, Array], jax.Array]  # (outputs, params, action) -> [N]
    greedy: Callable[[Array], jax.Array]  # (outputs) -> action[N, *A]
    explore: Callable[..., jax.Array]  # (keys[N], outputs, params, Exploration) -> action[N, *A]


def make(action: Discrete | Box, name: str = "", bins: int = 0) -> Head:
    """The head ``name`` for this kind of action; by default the paper's (appendix C.2)."""
    if isinstance(action, Discrete):
        return categorical(action)
    if name == "binned":
        return binned(action, bins)
    return {"": gaussian, "censored": censored, "squashed": squashed}[name](action)


def categorical(action: Discrete) -> Head:
    """Logits over n actions; explores with a sample, or a uniformly random action."""

    def log_prob(logits: Array, params: Array, chosen: Array) -> jax.Array:
        log_p = jax.nn.log_softmax(logits)
        # A comparison, not a gather, whose gradient is a scatter: slow in a scan on the CPU.
        return jnp.sum(jnp.where(jnp.arange(action.n) == chosen[:, None], log_p, 0.0), axis=-1)

    def explore(
        keys: jax.Array, logits: Array, params: Array, exploration: Exploration
    ) -> jax.Array:
        # No temperature is so low that the best logit, here 0, becomes infinite or NaN.
        lower = logits - jnp.max(logits, axis=-1, keepdims=True)
        p = jax.nn.softmax(lower / jnp.maximum(exploration.temperature, LOWEST))
        p = (1 - exploration.random_eps) * p + exploration.random_eps / action.n
        # Inverse transform sampling: one uniform number, where Gumbel noise needs n.
        u = jax.vmap(jax.random.uniform)(keys)[:, None]
        below = jnp.sum(jnp.cumsum(p, axis=-1) <= u, axis=-1, dtype=jnp.int32)
        return jnp.minimum(below, action.n - 1)

    return Head(
        outputs=action.n,
        init=lambda: jnp.zeros(0, jnp.float32),
        log_prob=log_prob,
        greedy=lambda logits: jnp.argmax(logits, axis=-1).astype(jnp.int32),
        explore=explore,
    )


def gaussian(action: Box) -> Head:
    """A mean per state and one global standard deviation per dimension.

    Means and standard deviations are in units of half the action range, centered. Exploration
    samples, adds noise, then clips. ``log_prob`` is the density before clipping: a Gaussian fitted
    to executed actions, which pulls means inward if many actions lie at the bounds.
    """
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    centre, half = (high + low) / 2, (high - low) / 2

    def log_prob(mean: Array, params: Array, executed: Array) -> jax.Array:
        unit = norm.logpdf((executed - centre) / half, mean, deviation(params))
        return jnp.sum(unit - jnp.log(half), axis=-1)

    def explore(keys: jax.Array, mean: Array, params: Array, exploration: Exploration) -> jax.Array:
        noise = jax.vmap(lambda key: jax.random.normal(key, action.shape))(keys)
        # A sample plus independent noise is one Gaussian with the sum of the variances.
        spread = jnp.sqrt(
            exploration.temperature * jnp.square(deviation(params)) + exploration.action_noise**2
        )
        return jnp.clip(centre + half * (mean + spread * noise), low, high)

    return Head(
        outputs=len(action.low),
        init=lambda: jnp.full(action.shape, START, jnp.float32),
        log_prob=log_prob,
        greedy=lambda mean: jnp.clip(centre + half * mean, low, high),
        explore=explore,
    )


def deviation(params: Array) -> jax.Array:
    """The standard deviation from a Gaussian's global parameters: log std = -4 + softplus(params).

    The floor is smooth, so that a standard deviation near it still has a gradient.
    """
    return jnp.exp(MIN_LOG_STD + jax.nn.softplus(params))


def censored(action: Box) -> Head:
    """A Gaussian with the exact log-likelihood of the clipped actions that ``explore`` executes.

    An action at a bound was clipped to it, so it has the probability of everything beyond
    (Fujita & Maeda 2018, "Clipped Action Policy Gradient"). Exploration noise is not included.
    Policy gradients need this score, as they learn from the policy's own samples: that of the
    density is biased, and can point the wrong way.
    """
    plain = gaussian(action)
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    centre, half = (high + low) / 2, (high - low) / 2

    def log_prob(mean: Array, params: Array, executed: Array) -> jax.Array:
        std = deviation(params)
        inside = norm.logpdf((executed - centre) / half, mean, std) - jnp.log(half)
        below, above = norm.logcdf(-1, mean, std), norm.logsf(1, mean, std)
        each = jnp.where(executed <= low, below, jnp.where(executed >= high, above, inside))
        return jnp.sum(each, axis=-1)

    return plain._replace(log_prob=log_prob)


def squashed(action: Box) -> Head:
    """A Gaussian whose mean tanh keeps within the bounds, for actors that maximize a critic."""
    plain = gaussian(action)

    def log_prob(outputs: Array, params: Array, executed: Array) -> jax.Array:
        return plain.log_prob(jnp.tanh(outputs), params, executed)

    def explore(
        keys: jax.Array, outputs: Array, params: Array, exploration: Exploration
    ) -> jax.Array:
        return plain.explore(keys, jnp.tanh(outputs), params, exploration)

    return Head(
        outputs=plain.outputs,
        init=plain.init,
        log_prob=log_prob,
        greedy=lambda outputs: plain.greedy(jnp.tanh(outputs)),
        explore=explore,
    )


def binned(action: Box, bins: int) -> Head:
    """A grid of ``bins`` values per dimension, including the bounds, as in the GCSL authors' code.

    Up to 100 cells have a logit each; in a larger grid the dimensions are independent, with
    ``bins`` logits each. An action is rounded to the nearest grid value, and ``log_prob`` is the
    log of a probability, not of a density. Exploration is that of discrete actions, plus noise.
    """
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    dims = len(action.low)
    digits, parts, n = (dims, 1, bins**dims) if is_joint(dims, bins) else (1, dims, bins)
    # A cell's index has one digit per dimension.
    place = bins ** jnp.arange(digits, dtype=jnp.int32)
    choice = categorical(Discrete(n))

    def cells(executed: Array) -> jax.Array:
        value = jnp.round((executed - low) / (high - low) * (bins - 1)).astype(jnp.int32)
        return jnp.sum(value.reshape(-1, digits) * place, axis=-1)  # [N * parts]

    def actions(cell: jax.Array) -> jax.Array:
        value = (cell[:, None] // place % bins).reshape(-1, dims)
        return jnp.where(value == bins - 1, high, low + value * ((high - low) / (bins - 1)))

    def log_prob(outputs: Array, params: Array, executed: Array) -> jax.Array:
        each = choice.log_prob(outputs.reshape(-1, n), params, cells(executed))
        return jnp.sum(each.reshape(-1, parts), axis=-1)

    def explore(
        keys: jax.Array, outputs: Array, params: Array, exploration: Exploration
    ) -> jax.Array:
        if parts > 1:  # random in all dimensions, or in none
            coin = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, parts + 1)))
            is_random = coin(keys) < exploration.random_eps
            outputs = jnp.where(is_random[:, None], 0.0, outputs)
            exploration = exploration._replace(random_eps=0.0)
        each = jax.vmap(lambda key: jax.random.split(key, parts))(keys).reshape(-1)
        chosen = actions(choice.explore(each, outputs.reshape(-1, n), params, exploration))
        if not exploration.action_noise:
            return chosen
        again = jax.vmap(lambda key: jax.random.fold_in(key, parts))(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, action.shape))(again)
        return jnp.clip(chosen + (high - low) / 2 * exploration.action_noise * noise, low, high)

    return Head(
        outputs=parts * n,
        init=choice.init,
        log_prob=log_prob,
        greedy=lambda outputs: actions(choice.greedy(outputs.reshape(-1, n))),
        explore=explore,
    )


def is_joint(dims: int, bins: int) -> bool:
    """Whether the head "binned" has a logit for each cell of the whole grid."""
    return dims <= JOINT and bins**dims <= JOINT
