"""Hindsight Expectation Maximization (Tang & Kucukelbir 2021, Algorithm 1).

E-step: q^h draws an episode, a moment, and a goal that was achieved later in it. M-step (Eq. 7):
make the action taken at that moment likelier, by a step of Adam on the weighted log-likelihood.
There is no critic, and the reward is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from hem import estep
from hem import policy as policies
from hem.errors import require
from hem.heads import Exploration
from hem.policy import PolicyState
from hem.types import Algorithm, Array, Batch, Discrete, Episodes, Metrics, Replay, Strategy, Task

NAME = "hem"


@dataclass(frozen=True)
class Config:
    hidden: tuple[int, ...] = (256, 256)
    """Units of each hidden layer of the policy network."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch_size: int = 64
    """Transitions in an M-step update."""
    noise: float = 0.2
    """Discrete actions: chance of a uniformly random one when collecting. Continuous: standard
    deviation of the noise added to the policy's sample, in units of half the action's range."""
    temperature: float = 1.0
    """Collect with samples of pi^(1/temperature): 1 as in the paper, less is greedier."""

    def __post_init__(self) -> None:
        require(all(n > 0 for n in self.hidden), "hidden layers must have at least 1 unit")
        require(self.learning_rate > 0, "learning-rate must be greater than 0")
        require(self.batch_size > 0, "batch-size must be at least 1")
        require(self.noise >= 0, "noise must not be negative")
        require(self.temperature > 0, "temperature must be greater than 0")


class HemState(NamedTuple):
    """What hEM learns: the policy, and Adam's memory of its gradients."""

    policy: PolicyState
    optimiser: optax.OptState


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """hEM for ``task``, with goals taken in hindsight by ``strategy``."""
    require(
        config.noise <= 1 or not isinstance(task.action, Discrete),
        f"noise is a chance where actions are discrete, as in {task.name}: at most 1",
    )
    policy = policies.make(policies.spec_of(task, config.hidden))
    how = Exploration(config.noise, config.temperature)
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> HemState:
        state = policy.init(key)
        return HemState(state, adam.init((state.network, state.extra)))

    def act(keys: jax.Array, state: HemState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, how)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: HemState, episodes: Episodes) -> HemState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def e_step(key: jax.Array, state: HemState, replay: Replay) -> Batch:
        return estep.hindsight(key, replay, task, strategy, config.batch_size)

    def m_step(key: jax.Array, state: HemState, batch: Batch) -> tuple[HemState, Metrics]:
        def loss(learnt: tuple) -> jax.Array:
            network, extra = learnt
            candidate = state.policy._replace(network=network, extra=extra)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        learnt = (state.policy.network, state.policy.extra)
        value, gradient = jax.value_and_grad(loss)(learnt)
        update, optimiser = adam.update(gradient, state.optimiser)
        network, extra = cast(tuple, optax.apply_updates(learnt, update))
        new_policy = state.policy._replace(network=network, extra=extra)
        return HemState(new_policy, optimiser), {"loss": value}

    return Algorithm(init, act, observe, e_step, m_step, policy, lambda state: state.policy)
