"""Hindsight Expectation Maximization (Tang & Kucukelbir 2021, Algorithm 1).

E-step: q^h samples an episode, one of its steps, and a goal that was achieved later. M-step
(Eq. 7): increase the likelihood of that step's action, by one Adam step on the weighted
log-likelihood. There is no critic, and the reward is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import Exploration
from hem.models.policy import PolicyParams, PolicyState
from hem.replay import estep
from hem.system import validation
from hem.types import Algorithm, Array, Batch, Discrete, Episodes, Metrics, Replay, Strategy, Task

NAME = "hem"


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (256, 256)
    """Hidden layer sizes of the policy network."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 64
    """Transitions per M-step update."""
    random_eps: float = 0.2
    """Discrete actions: probability of a uniformly random action during data collection."""
    action_noise: float = 0.2
    """Continuous actions: standard deviation of the noise added to the policy's samples during
    data collection, in units of half the action range."""
    temperature: float = 1.0
    """Collect data with samples from pi^(1/temperature): 1 as in the paper, lower is greedier."""

    uses_strategy = True

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate", "temperature")
        validation.sizes(self, "batch_size")
        validation.fractions(self, "random_eps")
        validation.at_least(0, self, "action_noise")


class HemState(NamedTuple):
    """The learned state."""

    policy: PolicyState
    opt_state: optax.OptState


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """hEM for ``task``, with goals relabeled by ``strategy``."""
    if isinstance(task.action, Discrete):
        validation.unused("with discrete actions", config, "action_noise")
    else:
        validation.unused("with continuous actions", config, "random_eps")
    policy = policies.make(policies.spec_of(task, config.hidden_dims))
    exploration = Exploration(config.random_eps, config.action_noise, config.temperature)
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> HemState:
        state = policy.init(key)
        return HemState(state, adam.init(state.params))

    def act(keys: jax.Array, state: HemState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, exploration)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: HemState, episodes: Episodes) -> HemState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def e_step(key: jax.Array, state: HemState, replay: Replay) -> Batch:
        return estep.hindsight(key, replay, task, strategy, config.batch_size)

    def m_step(key: jax.Array, state: HemState, batch: Batch) -> tuple[HemState, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:  # Eq. 7
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        return HemState(state.policy._replace(params=params), opt_state), {"loss": value}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
