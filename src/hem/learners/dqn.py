"""Deep Q-learning (Mnih et al. 2015) on goals, with an optional extra term.

The policy's network gives a value for each action, so the greedy policy is the likeliest action of
its head. HER is this on relabelled goals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hem.learners import critic as critics
from hem.learners.critic import Returns
from hem.models import policy as policies
from hem.models.policy import Policy, PolicyState
from hem.types import Array, Batch, Discrete, Episodes, Metrics, Task

Extra = Callable[[Policy, PolicyState, Batch, jax.Array], jax.Array]
"""(policy, candidate state, batch, advantage f32[B] of the batch's actions) -> what to climb."""


class Settings(NamedTuple):
    """What DQN is tuned by."""

    hidden: tuple[int, ...]
    learning_rate: float
    averaging: float  # weight of the old averaged parameters, per update
    random: float  # chance of a uniformly random action
    double: bool  # choose the next action by the present values, and value it by the averaged


class DqnState(NamedTuple):
    """What is learnt."""

    policy: PolicyState
    slow: Any  # averaged parameters
    adam: optax.OptState


class Dqn(NamedTuple):
    """Pure functions over ``DqnState``, as an ``Algorithm`` has them."""

    policy: Policy
    init: Callable[[jax.Array], DqnState]
    act: Callable[..., jax.Array]
    observe: Callable[[DqnState, Episodes], DqnState]
    m_step: Callable[[jax.Array, DqnState, Batch], tuple[DqnState, Metrics]]


def make(task: Task, settings: Settings, what: Returns, extra: Extra | None = None) -> Dqn:
    """DQN for ``task``, where an action is a choice.

    Args:
        task: what is learnt.
        settings: how.
        what: the reward's convention and range.
        extra: what else is climbed; None for nothing.
    """
    action = task.action
    assert isinstance(action, Discrete)
    policy = policies.make(policies.spec_of(task, settings.hidden))
    adam = optax.adam(settings.learning_rate)

    def init(key: jax.Array) -> DqnState:
        state = policy.init(key)
        return DqnState(state, critics.copied(state.network), adam.init(state.network))

    def act(keys: jax.Array, state: DqnState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        greedy = policy.greedy(state.policy, obs, goal)
        if not explore:
            return greedy

        def disturb(key: jax.Array, chosen: jax.Array) -> jax.Array:
            uniform_key, which_key = jax.random.split(key)
            uniform = jax.random.randint(uniform_key, (), 0, action.n)
            return jnp.where(jax.random.uniform(which_key) < settings.random, uniform, chosen)

        return jax.vmap(disturb)(keys, greedy)

    def observe(state: DqnState, episodes: Episodes) -> DqnState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def m_step(key: jax.Array, state: DqnState, batch: Batch) -> tuple[DqnState, Metrics]:
        slow = policy.outputs(state.policy._replace(network=state.slow), batch.next_obs, batch.goal)
        chooser = policy.outputs(state.policy, batch.next_obs, batch.goal)
        then = jnp.argmax(chooser if settings.double else slow, axis=-1)
        wanted = critics.target(what, batch, critics.of(slow, then))

        def loss(network: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            candidate = state.policy._replace(network=network)
            values = policy.outputs(candidate, batch.obs, batch.goal)
            now = critics.of(values, batch.action)
            bellman = jnp.mean(batch.weight * jnp.square(wanted - now))
            climbed = 0.0
            if extra is not None:
                # Against the softmax policy's own value: against the best, none would be above.
                own = jnp.sum(jax.nn.softmax(values) * values, axis=-1)
                climbed = extra(policy, candidate, batch, jax.lax.stop_gradient(now - own))
            return bellman - climbed, (bellman, jnp.mean(jnp.max(values, axis=-1)))

        gradient, (bellman, best) = jax.grad(loss, has_aux=True)(state.policy.network)
        update, memory = adam.update(gradient, state.adam)
        network = optax.apply_updates(state.policy.network, update)
        new_state = DqnState(
            policy=state.policy._replace(network=network),
            slow=critics.average(state.slow, network, settings.averaging),
            adam=memory,
        )
        return new_state, {"loss": bellman, "value": best}

    return Dqn(policy, init, act, observe, m_step)
