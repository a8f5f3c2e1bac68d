"""Hindsight Expectation Maximization (Tang & Kucukelbir 2021, Algorithm 1).

E-step: q^h samples an episode, one of its steps, and a goal that was achieved later. M-step
(Eq. 7): increase the likelihood of that step's action, by one Adam step on the weighted
log-likelihood. There is no critic, and the reward is never used.

With ``distance_weight``, a step counts more, the more it shortens the way to the goal, by a learned
number of steps; see ``hem.learners.distance``. Of the reward it uses whether the goal is achieved.

With ``ema_decay``, a trained policy acts with an average of the parameters over the latest M-steps.

The metric ``elbo`` is what of the lower bound (Eq. 5) depends on the policy; see ``policy_part``.
With ``distance_weight`` it is left out: no distribution of trajectories has those steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from hem.errors import require
from hem.learners import distance as distances
from hem.learners.distance import DistanceState
from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import Exploration
from hem.models.networks import Encoder
from hem.models.policy import PolicyParams, PolicyState
from hem.replay import estep
from hem.system import validation
from hem.system.conversion import newer
from hem.types import (
    Algorithm,
    Array,
    Batch,
    Discrete,
    Episodes,
    Ratio,
    Replay,
    Strategy,
    Task,
    UpdateMetrics,
)

NAME = "hem"


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (256, 256)
    """Hidden layer sizes of the policy network."""
    relative_goals: bool = newer(False)
    """Show the policy the goal minus the achieved goal as well."""
    encoder: Encoder = newer("cnn")
    """Features of images: all values of the last maps (cnn), or the place that each map points at
    (spatial-softmax)."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 64
    """Transitions per M-step update."""
    random_eps: float = 0.2
    """Discrete actions and grids: probability of a uniformly random action during data
    collection."""
    action_noise: float = 0.2
    """Continuous actions: standard deviation of the noise added to the policy's samples during
    data collection, in units of half the action range."""
    action_bins: int = newer(0)
    """Continuous actions: values per dimension of a grid that has a probability for each cell, so
    that the policy can have several modes; 0 for a Gaussian."""
    temperature: float = 1.0
    """Collect data with samples from pi^(1/temperature): 1 as in the paper, lower is greedier."""
    acting_temperature: float = newer(0.0)
    """Once trained, act with samples from pi^(1/acting_temperature), which get out of corners and
    circles; 0 for the most likely action."""
    skip_achieved: bool = newer(False)
    """Do not learn from steps at which the relabeled goal is achieved already. For objects, which
    most actions do not move."""
    ema_decay: float = newer(0.0)
    """Once trained, act with an exponential moving average of the parameters, with this decay per
    update; 0 for the latest parameters. Try 0.99."""
    distance_weight: float = newer(0.0)
    """How much more a step counts that shortens the way to the goal, by a learned number of steps;
    0 for all alike, as in the paper. Try 1. An update is two to three times the work."""

    uses_strategy = True

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate", "temperature")
        validation.sizes(self, "batch_size")
        validation.fractions(self, "random_eps", "ema_decay")
        validation.at_least(0, self, "action_noise", "acting_temperature", "distance_weight")
        validation.counts(self, "action_bins")
        bins = self.action_bins
        require(bins == 0 or bins >= 2, f"action-bins must be 0 or at least 2, not {bins}")
        weight = self.distance_weight
        require(weight <= 100, f"distance-weight must be at most 100, not {weight:g}")


class HemState(NamedTuple):
    """The learned state."""

    policy: PolicyState  # what acts once it is trained: with averaged parameters, or the latest
    opt_state: optax.OptState
    distance: DistanceState | None = None  # None without distance weights
    latest: PolicyParams | None = None  # what the last M-step made; None if the policy has it


def policy_part(log_likelihood: jax.Array, batch: Batch, ends: Array) -> Ratio:
    """E_q[sum_t log pi(a_t | s_t, g)], what of the lower bound (Eq. 5) depends on the policy.

    With every factor of p(tau | theta, g) written out, Eq. 5 is

        L = E_q[sum_t log pi(a_t | s_t, g)]
            + E_q[log p(O=1 | tau, g) + log p(g) + log p(s_0) + sum_t log p(s_t+1 | s_t, a_t)]
            + the entropy of q,

    and all but the first term is constant in theta: for a fixed q, an M-step (Eq. 7) changes L by
    what it changes this term. With continuous actions pi is a density, and so is q.

    The E-step draws single steps t, each with the goal of a later time k, and never a whole
    trajectory. They are the steps of trajectories that are the part of an episode from some step i
    to k. Let Q(t, k) be the probability of a drawn pair, and n the mean number of steps of a
    trajectory. Under q(i, k) = n (Q(i, k) - Q(i - 1, k)), a step t is in trajectories to k with
    probability q(0, k) + ... + q(t, k) = n Q(t, k). So the mean of the sum over a trajectory is n
    times the mean over drawn steps. As each trajectory has one step with k - t = 1, these are 1 / n
    of the drawn steps. Such a q exists where Q does not fall in t, as with ``final``, ``future``
    and ``geometric``; with ``episode``, trajectories are whole episodes. Without the steps at which
    the goal is achieved, trajectories end where it is achieved for the first time.

    Args:
        log_likelihood: f32[], the mean over the batch of weight times log pi.
        batch: from the E-step; its weights count trajectories too.
        ends: bool[B], the steps that end a trajectory.
    """
    return Ratio(log_likelihood, jnp.mean(batch.weight * ends))


def learning(state: HemState) -> PolicyState:
    """The policy with the parameters of the latest M-step, which collects data and learns."""
    return state.policy if state.latest is None else state.policy._replace(params=state.latest)


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """hEM for ``task``, with goals relabeled by ``strategy``."""
    if isinstance(task.action, Discrete):
        validation.unused("with discrete actions", config, "action_noise", "action_bins")
    elif not config.action_bins:
        validation.unused("with continuous actions and no --action-bins", config, "random_eps")
    head = "binned" if config.action_bins else ""
    spec = policies.spec_of(task, config.hidden_dims, head, config.relative_goals, config.encoder)
    spec = replace(spec, bins=config.action_bins, temperature=config.acting_temperature)
    policy = policies.make(spec)
    exploration = Exploration(config.random_eps, config.action_noise, config.temperature)
    adam = optax.adam(config.learning_rate)
    beta = config.distance_weight
    distance = distances.make(spec, task.horizon, beta, adam) if beta else None

    def init(key: jax.Array) -> HemState:
        state = policy.init(key)
        learned = distance.init(jax.random.fold_in(key, 1)) if distance else None
        latest = state.params if config.ema_decay else None
        return HemState(state, adam.init(state.params), learned, latest)

    def act(keys: jax.Array, state: HemState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, learning(state), obs, goal, exploration)
        return policy.act(keys, state.policy, obs, goal)

    def observe(state: HemState, episodes: Episodes) -> HemState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def with_step(state: HemState, params: PolicyParams, opt_state: optax.OptState) -> HemState:
        state = state._replace(opt_state=opt_state)
        if state.latest is None:
            return state._replace(policy=state.policy._replace(params=params))
        # At first the mean of all updates, so that the initial parameters do not count.
        share = jnp.maximum(1 - config.ema_decay, 1 / optax.tree_utils.tree_get(opt_state, "count"))
        mean = optax.incremental_update(params, state.policy.params, share)
        return state._replace(policy=state.policy._replace(params=mean), latest=params)

    def e_step(key: jax.Array, state: HemState, replay: Replay) -> Batch:
        batch = estep.hindsight(
            key, replay, task, strategy, config.batch_size, config.skip_achieved
        )
        if not distance:
            return batch
        weight = distance.weight(state.distance, state.policy, batch)
        return batch._replace(weight=batch.weight * weight)

    def m_step(key: jax.Array, state: HemState, batch: Batch) -> tuple[HemState, UpdateMetrics]:
        def loss(params: PolicyParams) -> jax.Array:  # Eq. 7
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, learning(state).params, state.opt_state)
        learned = with_step(state, params, opt_state)
        if distance:
            nearer, distance_loss = distance.m_step(state.distance, state.policy, batch)
            metrics = {"loss": value, "distance_loss": distance_loss}
            return learned._replace(distance=nearer), metrics
        ends = jnp.asarray(batch.reward > 0 if config.skip_achieved else batch.steps_to_goal == 1)
        return learned, {"loss": value, "elbo": policy_part(-value, batch, ends)}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
