"""Action distributions: what a network's outputs mean.

A head is a record of pure functions over ``outputs`` f32[N, P] and global ``params`` of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from hem.types import Array, Box, Discrete

MIN_LOG_STD = -4.0  # a likelihood that grows without bound would overwhelm the gradients
START = math.log(math.expm1(math.log(0.5) - MIN_LOG_STD))  # of ``params``: a deviation of 0.5
JOINT = 100  # the most cells of a grid of actions that have a logit each


class Exploration(NamedTuple):
    """How actions are taken when collecting."""

    random_eps: float | jax.Array = 0.0  # chance of a uniformly random action, of discrete ones
    action_noise: float = 0.0  # std of what is added to continuous ones, in half their range
    temperature: float = 1.0  # the policy is sampled from pi^(1/temperature)


ITSELF = Exploration()  # samples of the policy


class Head(NamedTuple):
    """A family of distributions over actions.

    ``explore`` takes one key a row, so that an action depends on its own episode only.
    """

    outputs: int  # P, network outputs it reads
    init: Callable[[], Array]  # () -> initial global parameters
    log_prob: Callable[[Array, Array, Array], jax.Array]  # (outputs, params, action) -> [N]
    greedy: Callable[[Array], jax.Array]  # (outputs) -> action[N, *A]
    explore: Callable[..., jax.Array]  # (keys[N], outputs, params, Exploration) -> action[N, *A]


def make(action: Discrete | Box, name: str = "", bins: int = 0) -> Head:
    """The head of that name for this kind of action; by default the paper's (appendix C.2)."""
    if isinstance(action, Discrete):
        return categorical(action)
    if name == "binned":
        return binned(action, bins)
    return {"": gaussian, "censored": censored, "squashed": squashed}[name](action)


def categorical(action: Discrete) -> Head:
    """Logits over n actions; explores with a sample, or a uniformly random action."""

    def log_prob(logits: Array, params: Array, chosen: Array) -> jax.Array:
        log_p = jax.nn.log_softmax(logits)
        # A comparison, not a gather: its gradient is a scatter, slow in a scan on the CPU.
        return jnp.sum(jnp.where(jnp.arange(action.n) == chosen[:, None], log_p, 0.0), axis=-1)

    def explore(
        keys: jax.Array, logits: Array, params: Array, exploration: Exploration
    ) -> jax.Array:
        p = jax.nn.softmax(logits / exploration.temperature)
        p = (1 - exploration.random_eps) * p + exploration.random_eps / action.n
        # One uniform number and the distribution function, where Gumbel noise needs n of them.
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

    Means and deviations are in units of half the action's range, centred; explores by sampling
    and adding noise, then clipping. ``log_prob`` is the density without the clipping: a Gaussian
    fitted to what was executed, which draws means inwards where much lies at the bounds.
    """
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    centre, half = (high + low) / 2, (high - low) / 2

    def log_prob(mean: Array, params: Array, executed: Array) -> jax.Array:
        unit = norm.logpdf((executed - centre) / half, mean, deviation(params))
        return jnp.sum(unit - jnp.log(half), axis=-1)

    def explore(keys: jax.Array, mean: Array, params: Array, exploration: Exploration) -> jax.Array:
        noise = jax.vmap(lambda key: jax.random.normal(key, action.shape))(keys)
        # A sample plus independent noise is one Gaussian of the summed variance.
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
    """The standard deviation of a Gaussian's global parameters: log std = -4 + softplus(params).

    A smooth floor, so that a deviation that has come near it still has a gradient to leave by.
    """
    return jnp.exp(MIN_LOG_STD + jax.nn.softplus(params))


def censored(action: Box) -> Head:
    """The same, with the exact log-likelihood of what ``explore`` executes without noise.

    What lies at a bound was clipped to it, so it has the probability of all that lies beyond
    (Fujita & Maeda 2018, "Clipped Action Policy Gradient"). Policy gradients need this score, as
    they learn from the policy's own samples: the density's is biased, and can point the wrong way.
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
    """The same with a mean that tanh keeps within the bounds, where a critic is maximized."""
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
    """A grid of ``bins`` values a dimension, the bounds among them, as GCSL's authors have it.

    Up to 100 cells have a logit each; in a larger grid the dimensions are independent, with
    ``bins`` logits each. An action between the values counts as the nearest, and ``log_prob`` is
    of a probability, not a density. ``Exploration`` is as where actions are discrete.
    """
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    dims = len(action.low)
    together = dims <= JOINT and bins**dims <= JOINT
    digits, parts, n = (dims, 1, bins**dims) if together else (1, dims, bins)
    # A cell's number has a digit for each dimension.
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
        each = jax.vmap(lambda key: jax.random.split(key, parts))(keys).reshape(-1)
        return actions(choice.explore(each, outputs.reshape(-1, n), params, exploration))

    return Head(
        outputs=parts * n,
        init=choice.init,
        log_prob=log_prob,
        greedy=lambda outputs: actions(choice.greedy(outputs.reshape(-1, n))),
        explore=explore,
    )
