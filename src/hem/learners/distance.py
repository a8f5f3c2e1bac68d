"""How many steps it takes from an observation to a goal, learned by supervision.

A network classifies n = k - t for steps t and goals that were achieved at k. So it learns how long
it took whoever collected the episodes, without bootstrapping. With it, an E-step can weigh a step
from s to s' by how short the ways on from there are, among all ways from s:

    w = exp(-beta) E[exp(-beta n) | s', g] / E[exp(-beta n) | s, g]

where the first mean is 1 if s' achieves g. It is also exp(beta (d(s, g) - 1 - d(s', g))), with the
soft minimum d = -log E[exp(-beta n)] / beta as a distance (Hejna et al. 2023, "Distance Weighted
Supervised Learning for Offline Interaction Data", arXiv 2304.13774).

Where each goal is achieved once, and the steps left from s' have one distribution however it was
reached, that is the mean of weights proportional to exp(-beta n) over all ways that begin with this
step: the same E-step with less variance. Finite episodes make it an approximation. And where a goal
is passed again, held, or achieved within a tolerance, the first mean counts the first time only: so
steps at or next to their goal count more than the others.

Pairs whose goal was achieved before, as the strategy ``episode`` draws them, teach it nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from hem.learners.optimization import minimize
from hem.models import inputs
from hem.models.policy import PolicySpec, PolicyState
from hem.types import Array, Batch

HEAVIEST = 10.0  # a weight; what is more is likely an error of the estimate, not a shortcut
LIGHTEST = 1e-30  # above the 0 of pairs that were not found


class DistanceState(NamedTuple):
    """The learned state."""

    params: Any
    opt_state: optax.OptState


class Distance(NamedTuple):
    """Functions of a ``DistanceState``, with inputs normalized by the policy's statistics."""

    init: Callable[[jax.Array], DistanceState]
    weight: Callable[..., jax.Array]  # (state, policy state, batch) -> f32[B]
    m_step: Callable[..., tuple[DistanceState, jax.Array]]  # (state, policy state, batch) -> loss


def make(
    spec: PolicySpec, horizon: int, beta: float, optimizer: optax.GradientTransformation
) -> Distance:
    """A distance with the inputs and the hidden layers of the policy of ``spec``.

    Args:
        spec: the policy's inputs and hidden layers.
        horizon: the most steps from an observation to a goal.
        beta: how much shorter ways count for more; with 0, all weights are 1.
        optimizer: of its parameters.
    """
    shapes = spec.shapes
    network = inputs.network(shapes, spec.hidden_dims, horizon, encoder=spec.encoder)

    def log_probs(params: Any, policy: PolicyState, obs: Array, goal: Array) -> jax.Array:
        seen = inputs.network_inputs(shapes, policy.obs, policy.goal, obs, goal)
        return jax.nn.log_softmax(cast(jax.Array, network.apply(params, *seen)))  # f32[N, horizon]

    def init(key: jax.Array) -> DistanceState:
        params = inputs.init(network, key, shapes)
        return DistanceState(params, optimizer.init(params))

    def weight(state: DistanceState, policy: PolicyState, batch: Batch) -> jax.Array:
        now, later = (
            log_mean_exp(beta, log_probs(state.params, policy, obs, batch.goal))
            for obs in (batch.obs, batch.next_obs)
        )
        later = jnp.where(jnp.asarray(batch.reward) > 0, 0.0, later)
        return jnp.clip(jnp.exp(later - beta - now), LIGHTEST, HEAVIEST)

    def m_step(
        state: DistanceState, policy: PolicyState, batch: Batch
    ) -> tuple[DistanceState, jax.Array]:
        taken = jnp.asarray(batch.steps_to_goal)
        drawn = jnp.asarray(batch.weight) > 0

        def loss(params: Any) -> jax.Array:
            found = log_probs(params, policy, batch.obs, batch.goal)
            right = jnp.arange(1, horizon + 1) == taken[:, None]
            return -jnp.mean(drawn * jnp.sum(jnp.where(right, found, 0.0), axis=1))

        params, opt_state, value = minimize(optimizer, loss, *state)
        return DistanceState(params, opt_state), value

    return Distance(init, weight, m_step)


def log_mean_exp(beta: float, log_probs: jax.Array) -> jax.Array:
    """log E[exp(-beta n)] f32[B], of n = 1, ..., H with the log-probabilities f32[B, H]."""
    steps = jnp.arange(1, log_probs.shape[1] + 1)
    return jax.nn.logsumexp(log_probs - beta * steps, axis=1)
