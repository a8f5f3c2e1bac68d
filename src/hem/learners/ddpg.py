"""Deep deterministic policy gradient (Lillicrap et al. 2016) on goals, with an optional extra term.

The actor climbs Q(s, pi(s, g), g); the critic is taught by averaged copies of both. HER is this on
relabelled goals; the hybrid of hEM and HER (section 4.4, C.5) adds a likelihood to what the actor
climbs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from hem.learners import critic as critics
from hem.learners.critic import Returns
from hem.models import policy as policies
from hem.models.policy import Policy, PolicyState
from hem.types import Array, Batch, Box, Episodes, Metrics, Task

Extra = Callable[[Policy, PolicyState, Batch, jax.Array], jax.Array]
"""(policy, candidate state, batch, advantage f32[B] of the batch's actions) -> what to climb."""


class Settings(NamedTuple):
    """What DDPG is tuned by."""

    hidden: tuple[int, ...]
    learning_rate: float
    averaging: float  # weight of the old averaged parameters, per update
    action_penalty: float  # on the mean square of actions in units of half their range
    noise: float  # standard deviation of Gaussian noise, in units of half the range
    random: float  # chance of a uniformly random action


class DdpgState(NamedTuple):
    """What is learnt."""

    policy: PolicyState
    critic: Any
    slow_actor: Any  # averaged parameters
    slow_critic: Any
    actor_adam: optax.OptState
    critic_adam: optax.OptState


class Ddpg(NamedTuple):
    """Pure functions over ``DdpgState``, as an ``Algorithm`` has them."""

    policy: Policy
    init: Callable[[jax.Array], DdpgState]
    act: Callable[..., jax.Array]
    observe: Callable[[DdpgState, Episodes], DdpgState]
    m_step: Callable[[jax.Array, DdpgState, Batch], tuple[DdpgState, Metrics]]


def make(task: Task, settings: Settings, what: Returns, extra: Extra | None = None) -> Ddpg:
    """DDPG for ``task``, where an action is a vector within bounds.

    Args:
        task: what is learnt.
        settings: how.
        what: the reward's convention and range.
        extra: what else the actor climbs; None for nothing.
    """
    action = task.action
    assert isinstance(action, Box)
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    spec = policies.spec_of(task, settings.hidden, "squashed")
    policy, critic = policies.make(spec), critics.make(spec)
    adam = optax.adam(settings.learning_rate)

    def init(key: jax.Array) -> DdpgState:
        actor_key, critic_key = jax.random.split(key)
        state, q = policy.init(actor_key), critic.init(critic_key)
        return DdpgState(
            policy=state,
            critic=q,
            slow_actor=critics.copied(state.network),
            slow_critic=critics.copied(q),
            actor_adam=adam.init((state.network, state.extra)),
            critic_adam=adam.init(q),
        )

    def act(keys: jax.Array, state: DdpgState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        greedy = policy.greedy(state.policy, obs, goal)
        if not explore:
            return greedy

        def disturb(key: jax.Array, chosen: jax.Array) -> jax.Array:
            noise_key, uniform_key, which_key = jax.random.split(key, 3)
            noise = settings.noise * jax.random.normal(noise_key, action.shape)
            noisy = jnp.clip(chosen + (high - low) / 2 * noise, low, high)
            uniform = jax.random.uniform(uniform_key, action.shape, minval=low, maxval=high)
            return jnp.where(jax.random.uniform(which_key) < settings.random, uniform, noisy)

        return jax.vmap(disturb)(keys, greedy)

    def observe(state: DdpgState, episodes: Episodes) -> DdpgState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def m_step(key: jax.Array, state: DdpgState, batch: Batch) -> tuple[DdpgState, Metrics]:
        def critic_loss(q: Any) -> jax.Array:
            slow = state.policy._replace(network=state.slow_actor)
            then = policy.greedy(slow, batch.next_obs, batch.goal)
            value = critic.value(state.slow_critic, state.policy, batch.next_obs, batch.goal, then)
            now = critic.value(q, state.policy, batch.obs, batch.goal, batch.action)
            return jnp.mean(batch.weight * jnp.square(critics.target(what, batch, value) - now))

        def actor_loss(learnt: tuple) -> tuple[jax.Array, jax.Array]:
            network, deviation = learnt
            candidate = state.policy._replace(network=network, extra=deviation)
            chosen = policy.greedy(candidate, batch.obs, batch.goal)
            value = critic.value(state.critic, state.policy, batch.obs, batch.goal, chosen)
            unit = (2 * chosen - high - low) / (high - low)
            penalty = settings.action_penalty * jnp.mean(jnp.square(unit), axis=-1)
            loss = jnp.mean(batch.weight * (penalty - value))
            if extra is not None:
                taken = critic.value(
                    state.critic, state.policy, batch.obs, batch.goal, batch.action
                )
                loss -= extra(policy, candidate, batch, jax.lax.stop_gradient(taken - value))
            return loss, jnp.mean(value)

        loss, gradient = jax.value_and_grad(critic_loss)(state.critic)
        update, critic_adam = adam.update(gradient, state.critic_adam)
        q = optax.apply_updates(state.critic, update)

        learnt = (state.policy.network, state.policy.extra)
        (_, value), gradient = jax.value_and_grad(actor_loss, has_aux=True)(learnt)
        update, actor_adam = adam.update(gradient, state.actor_adam)
        network, deviation = cast(tuple, optax.apply_updates(learnt, update))

        new_state = DdpgState(
            policy=state.policy._replace(network=network, extra=deviation),
            critic=q,
            slow_actor=critics.average(state.slow_actor, network, settings.averaging),
            slow_critic=critics.average(state.slow_critic, q, settings.averaging),
            actor_adam=actor_adam,
            critic_adam=critic_adam,
        )
        return new_state, {"loss": loss, "value": value}

    return Ddpg(policy, init, act, observe, m_step)
