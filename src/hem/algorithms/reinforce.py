"""REINFORCE (Williams 1992) on desired goals, without hindsight (section 2.2 of the hEM paper).

The gradient of J(theta) is estimated from the latest episodes by the mean over episodes of
sum_t grad log pi(a_t | s_t, g) sum_{t' >= t} r(s_t', a_t', g). Without hindsight, an episode that
misses its goal teaches nothing: with k goals and k actions, Theorem 1 gives a relative error of k.
No baseline, no discount. Updates are on-policy, so there is one per iteration by default: more
would use off-policy episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import ITSELF
from hem.models.networks import Encoder
from hem.models.normalizer import Statistics
from hem.models.policy import PolicyParams, PolicyState
from hem.replay import buffer as ring
from hem.replay import estep
from hem.system import collectives, validation
from hem.system.conversion import newer
from hem.types import Algorithm, Array, Batch, Episodes, Index, Metrics, Replay, Strategy, Task

NAME = "reinforce"


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
    batch_episodes: int = 16
    """Maximum episodes per update: the last ones collected in the latest iteration."""

    uses_strategy = False  # whatever the settings
    on_policy = True  # it learns from the latest episodes only

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.sizes(self, "batch_episodes")


class ReinforceState(NamedTuple):
    """The learned state, and the episodes that it may be updated with."""

    policy: PolicyState  # with the statistics that the latest episodes were collected with
    opt_state: optax.OptState
    statistics: tuple[Statistics, Statistics]  # of observations and goals, with these episodes
    fresh: Array  # i32  episodes collected in the latest iteration, excluding lost ones


def make(config: Config, task: Task, strategy: Strategy | None) -> Algorithm:
    """REINFORCE for ``task``; it relabels no goals, so ``strategy`` is not used."""
    policy = policies.make(
        policies.spec_of(
            task, config.hidden_dims, "censored", config.relative_goals, config.encoder
        )
    )
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> ReinforceState:
        state = policy.init(key)
        seen = jax.tree.map(jnp.copy, (state.obs, state.goal))
        return ReinforceState(state, adam.init(state.params), seen, jnp.int32(0))

    def act(
        keys: jax.Array, state: ReinforceState, obs: Array, goal: Array, explore: bool
    ) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, ITSELF)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: ReinforceState, episodes: Episodes) -> ReinforceState:
        obs, goal = state.statistics
        seen = policy.observe(state.policy._replace(obs=obs, goal=goal), episodes)
        fresh = jnp.sum(jnp.asarray(episodes.length) > 0, dtype=jnp.int32)
        return state._replace(statistics=(seen.obs, seen.goal), fresh=fresh)

    def e_step(key: jax.Array, state: ReinforceState, replay: Replay) -> Batch:
        n = min(config.batch_episodes, replay.data.length.shape[0])
        slots, length = ring.fresh(replay, state.fresh, n)
        t = jnp.broadcast_to(jnp.arange(task.horizon), (n, task.horizon))
        index = Index(jnp.repeat(slots, task.horizon), t.reshape(-1))
        batch = estep.transitions(
            replay, task, index, estep.desired_goal(replay, index.episode), index.step
        )
        reward = jnp.where(t < length[:, None], batch.reward.reshape(t.shape), 0.0)
        # The loss is a sum over episodes, of which workers take the mean.
        used = collectives.total(jnp.sum(length > 0)) / collectives.count()
        return batch._replace(weight=estep.rest(reward).reshape(-1) / jnp.maximum(used, 1))

    def m_step(
        key: jax.Array, state: ReinforceState, batch: Batch
    ) -> tuple[ReinforceState, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.sum(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        # The gradient is that of the behavior policy; only afterward are statistics updated.
        obs, goal = state.statistics
        learned = PolicyState(params, obs, goal)
        return state._replace(policy=learned, opt_state=opt_state), {"loss": value}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
