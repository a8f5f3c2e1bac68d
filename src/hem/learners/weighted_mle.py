"""A step of Adam up the weighted log-likelihood of a batch's actions: Eq. 7, and policy gradients.

What an algorithm makes likelier is in its batch's weights: 1 for every hindsight pair (hEM, GCSL),
what followed the action (REINFORCE), or that times a ratio of likelihoods (HPG).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from hem.models.policy import Policy, PolicyState
from hem.types import Batch


class Climber(NamedTuple):
    """What has been learnt: the policy, and Adam's memory of its gradients."""

    policy: PolicyState
    optimiser: optax.OptState


class Climb(NamedTuple):
    """Pure functions over ``Climber``."""

    init: Callable[[jax.Array], Climber]  # (key) -> Climber
    step: Callable[[Climber, Batch], tuple[Climber, jax.Array]]  # -> Climber, loss before it


def make(policy: Policy, learning_rate: float, over: Callable[[jax.Array], jax.Array]) -> Climb:
    """Adam on the policy's network and global parameters, statistics left alone.

    Args:
        policy: what is learnt.
        learning_rate: step size of Adam.
        over: the mean or the sum over a batch's rows f32[B] -> f32.
    """
    adam = optax.adam(learning_rate)

    def init(key: jax.Array) -> Climber:
        state = policy.init(key)
        return Climber(state, adam.init((state.network, state.extra)))

    def step(state: Climber, batch: Batch) -> tuple[Climber, jax.Array]:
        def loss(learnt: tuple) -> jax.Array:
            network, extra = learnt
            candidate = state.policy._replace(network=network, extra=extra)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -over(jnp.asarray(batch.weight) * log_prob)

        learnt = (state.policy.network, state.policy.extra)
        value, gradient = jax.value_and_grad(loss)(learnt)
        update, optimiser = adam.update(gradient, state.optimiser)
        network, extra = cast(tuple, optax.apply_updates(learnt, update))
        return Climber(state.policy._replace(network=network, extra=extra), optimiser), value

    return Climb(init, step)
