"""Goal-conditioned supervised learning (Ghosh et al. 2019), with the settings of its authors.

Like hEM it makes likelier the actions that led to goals achieved later, and has no critic. What
differs is everything around that step:

| | GCSL | hEM |
|---|---|---|
| moment t, goal at k | all pairs t < k equally likely, so early t are likelier | by ``strategy`` |
| continuous actions | a grid, with logits | a Gaussian |
| what collects | uniform actions first, then the likeliest action | samples, noise added |
| updates | one a step of the environment, of 256 pairs | fewer, of 64 |

``strategy`` is therefore not used. One update a step is a matter of the run's settings: with
``updates`` = ``episodes`` x horizon. In the authors' code, but not here, a fifth of the episodes
is held out, inputs are as they come, and episodes go on after success
(``--no-terminates-on-success`` does the last).
"""

from __future__ import annotations

import dataclasses
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
from hem.types import Algorithm, Array, Batch, Box, Episodes, Index, Metrics, Replay, Strategy, Task

NAME = "gcsl"
MIN_TEMPERATURE = 1e-6  # a temperature at which the likeliest action is certain


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (400, 300)
    """Units of each hidden layer of the policy network."""
    learning_rate: float = 5e-4
    """Step size of Adam."""
    batch_size: int = 256
    """Pairs of a moment and a goal in an update."""
    bins: int = 3
    """Continuous actions: values that each dimension can have, its bounds among them."""
    random_steps: int = 10_000
    """Environment steps before which actions are uniformly random."""
    random_eps: float = 0.0
    """Chance of a uniformly random action when collecting after that."""
    temperature: float = 0.0
    """Collect with samples of pi^(1/temperature); 0 takes the likeliest action."""

    uses_strategy = False  # whatever the settings

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.sizes(self, "batch_size")
        validation.at_least(2, self, "bins")
        validation.at_least(0, self, "random_steps", "temperature")
        validation.fractions(self, "random_eps")


class GcslState(NamedTuple):
    """What GCSL learns, and whether its random steps are over."""

    policy: PolicyState
    opt_state: optax.OptState
    random_left: Array  # i32  uniformly random steps still to be taken


def pairs(key: jax.Array, replay: Replay, batch_size: int) -> tuple[Index, Index]:
    """Moments t, and when their goals were achieved, k: uniform over 0 <= t < k <= length.

    The key is consumed. Episodes are uniform. So it is in the paper; the authors' code draws
    neighbours k = t + 1 half as often again, and an episode's last goal half as often.
    """
    u = jax.random.uniform(key, (3, batch_size))
    episode = jnp.floor(u[0] * replay.size).astype(jnp.int32)
    length = replay.data.length[episode]
    one = jnp.floor(u[1] * (length + 1)).astype(jnp.int32)
    other = jnp.floor(u[2] * length).astype(jnp.int32)
    other += other >= one  # any frame but that one
    return Index(episode, jnp.minimum(one, other)), Index(episode, jnp.maximum(one, other))


def make(config: Config, task: Task, strategy: Strategy | None) -> Algorithm:
    """GCSL for ``task``; it draws goals in its own way, so ``strategy`` is not used."""
    spec = policies.spec_of(task, config.hidden_dims)
    if isinstance(task.action, Box):
        spec = dataclasses.replace(spec, head="binned", bins=config.bins)
    else:
        validation.unused("where actions are discrete", config, "bins")
    policy = policies.make(spec)
    adam = optax.adam(config.learning_rate)
    temperature = max(config.temperature, MIN_TEMPERATURE)

    def init(key: jax.Array) -> GcslState:
        state = policy.init(key)
        return GcslState(state, adam.init(state.params), jnp.int32(config.random_steps))

    def act(keys: jax.Array, state: GcslState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if not explore:
            return policy.greedy(state.policy, obs, goal)
        random_eps = jnp.where(state.random_left > 0, 1.0, config.random_eps)
        exploration = Exploration(random_eps, temperature=temperature)
        return policy.explore(keys, state.policy, obs, goal, exploration)

    def observe(state: GcslState, episodes: Episodes) -> GcslState:
        seen = policy.observe(state.policy, episodes)
        left = state.random_left - jnp.sum(episodes.length, dtype=jnp.int32)
        return state._replace(policy=seen, random_left=jnp.maximum(left, 0))

    def e_step(key: jax.Array, state: GcslState, replay: Replay) -> Batch:
        replay = estep.before_failure(replay)
        index, reached = pairs(key, replay, config.batch_size)
        return estep.transitions(replay, task, index, estep.goal_at(replay, reached), reached.t)

    def m_step(key: jax.Array, state: GcslState, batch: Batch) -> tuple[GcslState, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        learnt = state.policy._replace(params=params)
        return state._replace(policy=learnt, opt_state=opt_state), {"loss": value}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
