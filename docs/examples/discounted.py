"""hEM with discounted likelihoods: an action counts less, the later its goal was achieved."""

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
from hem.types import Algorithm, Array, Batch, Episodes, Metrics, Replay, Strategy, Task

NAME = "discounted"


@dataclass(frozen=True)
class Config:
    """What can be set."""

    hidden_dims: tuple[int, ...] = (256, 256)
    """Units of each hidden layer of the policy network."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch_size: int = 64
    """Transitions in an update."""
    gamma: float = 0.9
    """Weight of an action is gamma^(k - t - 1), for a goal achieved at k."""

    uses_strategy = True

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.sizes(self, "batch_size")
        validation.fractions(self, "gamma")


class State(NamedTuple):
    """What is learned. The field ``policy`` is what a policy file holds."""

    policy: PolicyState
    opt_state: optax.OptState


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """The algorithm for ``task``, with goals relabeled by ``strategy``."""
    policy = policies.make(policies.spec_of(task, config.hidden_dims))
    exploration = Exploration(random_eps=0.2, action_noise=0.2)
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> State:
        state = policy.init(key)
        return State(state, adam.init(state.params))

    def act(keys: jax.Array, state: State, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, exploration)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: State, episodes: Episodes) -> State:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def e_step(key: jax.Array, state: State, replay: Replay) -> Batch:
        batch = estep.hindsight(key, replay, task, strategy, config.batch_size)
        late = batch.steps_to_goal - 1
        return batch._replace(weight=batch.weight * config.gamma**late)

    def m_step(key: jax.Array, state: State, batch: Batch) -> tuple[State, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        return State(state.policy._replace(params=params), opt_state), {"loss": value}

    return Algorithm(policy, init, act, observe, e_step, m_step)
