"""Goal-conditioned supervised learning (Ghosh et al. 2019), with the authors' settings.

Like hEM, it increases the likelihood of actions that led to goals achieved later, and has no
critic. The rest differs:

| | GCSL | hEM |
|---|---|---|
| step t, goal at k | uniform over all pairs t < k, so early t are more likely | by ``strategy`` |
| continuous actions | a grid, with logits | a Gaussian |
| data collection | uniform actions first, then greedy ones | samples with added noise |
| updates | one per environment step, on 256 pairs | fewer, on 64 |

``strategy`` is therefore not used. One update per step is a setting of the run:
``updates_per_iteration`` = ``episodes_per_iteration`` x horizon. The authors' code, unlike this
one, holds out a fifth of the episodes, does not normalize inputs, and continues episodes after
success (as ``--no-terminates-on-success`` does).
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
from hem.models.networks import Encoder
from hem.models.policy import PolicyParams, PolicyState
from hem.replay import estep
from hem.system import validation
from hem.system.collectives import total
from hem.system.conversion import newer
from hem.types import Algorithm, Array, Batch, Box, Episodes, Index, Metrics, Replay, Strategy, Task

NAME = "gcsl"
MIN_TEMPERATURE = 1e-6  # low enough that sampling is greedy


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (400, 300)
    """Hidden layer sizes of the policy network."""
    relative_goals: bool = newer(False)
    """Show the policy the goal minus the achieved goal as well."""
    encoder: Encoder = newer("cnn")
    """Features of images: all values of the last maps (cnn), or the place that each map points at
    (spatial-softmax)."""
    learning_rate: float = 5e-4
    """Learning rate of Adam."""
    batch_size: int = 256
    """Pairs of a step and a goal per update."""
    bins: int = 3
    """Continuous actions: grid values per dimension, including both bounds."""
    random_steps: int = 10_000
    """Initial environment steps with uniformly random actions."""
    random_eps: float = 0.0
    """Probability of a uniformly random action during data collection after that."""
    temperature: float = 0.0
    """Collect data with samples from pi^(1/temperature); 0 takes the most likely action."""

    uses_strategy = False  # whatever the settings

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.at_least(2, self, "bins")
        validation.sizes(self, "batch_size", "bins")
        validation.at_least(0, self, "temperature")
        validation.counts(self, "random_steps")
        validation.fractions(self, "random_eps")


class GcslState(NamedTuple):
    """The learned state, and how many random steps are left."""

    policy: PolicyState
    opt_state: optax.OptState
    random_left: Array  # i32  uniformly random steps left


def pairs(key: jax.Array, replay: Replay, batch_size: int) -> tuple[Index, jax.Array]:
    """Steps t and the times k i32[B] at which their goals were achieved, 0 <= t < k <= length.

    The key is consumed. Episodes are uniform, and so are the pairs (t, k) within one, as in the
    paper; the authors' code draws neighbors k = t + 1 1.5 times as often, and an episode's last
    goal half as often.
    """
    u = jax.random.uniform(key, (3, batch_size))
    episode = jnp.floor(u[0] * replay.size).astype(jnp.int32)
    length = replay.data.length[episode]
    one = jnp.floor(u[1] * (length + 1)).astype(jnp.int32)
    other = jnp.floor(u[2] * length).astype(jnp.int32)
    other += other >= one  # any other frame
    return Index(episode, jnp.minimum(one, other)), jnp.maximum(one, other)


def make(config: Config, task: Task, strategy: Strategy | None) -> Algorithm:
    """GCSL for ``task``; it has its own way of sampling goals, so ``strategy`` is not used."""
    spec = policies.spec_of(task, config.hidden_dims, "", config.relative_goals, config.encoder)
    if isinstance(task.action, Box):
        spec = dataclasses.replace(spec, head="binned", bins=config.bins)
    else:
        validation.unused("with discrete actions", config, "bins")
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
        left = state.random_left - total(jnp.sum(episodes.length, dtype=jnp.int32))
        return state._replace(policy=seen, random_left=jnp.maximum(left, 0))

    def e_step(key: jax.Array, state: GcslState, replay: Replay) -> Batch:
        replay = estep.before_failure(replay)
        index, goal_step = pairs(key, replay, config.batch_size)
        goal = estep.achieved_goal(replay, index, goal_step)
        return estep.transitions(replay, task, index, goal, goal_step)

    def m_step(key: jax.Array, state: GcslState, batch: Batch) -> tuple[GcslState, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.mean(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        learned = state.policy._replace(params=params)
        return state._replace(policy=learned, opt_state=opt_state), {"loss": value}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
