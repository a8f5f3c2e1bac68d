"""Goal-conditioned deep deterministic policy gradient (Lillicrap et al. 2016).

The actor maximizes Q(s, pi(s, g), g); the critic's targets use moving averages of both. HER is
DDPG on relabeled goals; the hybrid of hEM and HER (sections 4.4, C.5) adds an auxiliary loss to
the actor's: a negative log-likelihood.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from hem.learners import critic as critics
from hem.learners.critic import AuxiliaryLoss, Learner, Returns
from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import deviation
from hem.models.policy import PolicyParams, PolicyState
from hem.types import Array, Batch, Box, Episodes, Ratio, Task, UpdateMetrics


class DdpgConfig(Protocol):
    """The fields of an algorithm's configuration that DDPG reads."""

    @property
    def hidden_dims(self) -> tuple[int, ...]: ...
    @property
    def relative_goals(self) -> bool: ...
    @property
    def encoder(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def polyak(self) -> float: ...
    @property
    def action_penalty(self) -> float: ...
    @property
    def action_noise(self) -> float: ...
    @property
    def random_eps(self) -> float: ...
    @property
    def ent_coef(self) -> float: ...
    @property
    def n_critics(self) -> int: ...
    @property
    def critic_layer_norm(self) -> bool: ...
    @property
    def policy_delay(self) -> int: ...


class DdpgState(NamedTuple):
    """The learned state."""

    policy: PolicyState
    critic: Any
    target_actor: Any  # moving averages of parameters
    target_critic: Any
    actor_opt_state: optax.OptState
    critic_opt_state: optax.OptState


def make(
    task: Task, config: DdpgConfig, returns: Returns, auxiliary: AuxiliaryLoss | None = None
) -> Learner:
    """DDPG for ``task``, which has continuous actions.

    Args:
        task: the task to learn.
        config: hyperparameters.
        returns: the reward scheme and the range of returns.
        auxiliary: added to the actor's loss; None for nothing.
    """
    action = task.action
    assert isinstance(action, Box)
    low, high = (jnp.array(bound, jnp.float32) for bound in action)
    spec = policies.spec_of(
        task, config.hidden_dims, "squashed", config.relative_goals, config.encoder
    )
    policy, one = policies.make(spec), critics.make(spec, config.critic_layer_norm)
    critic = critics.ensemble(one, config.n_critics)
    adam = optax.adam(config.learning_rate)

    def sampled(key: jax.Array, mean: jax.Array, std: Any) -> jax.Array:
        """Actions around ``mean``; ``std`` is in units of half the action range."""
        noise = std * jax.random.normal(key, mean.shape)
        return jnp.clip(mean + (high - low) / 2 * noise, low, high)

    def init(key: jax.Array) -> DdpgState:
        actor_key, critic_key = jax.random.split(key)
        state, q = policy.init(actor_key), critic.init(critic_key)
        return DdpgState(
            policy=state,
            critic=q,
            target_actor=critics.copy_params(state.params.network),
            target_critic=critics.copy_params(q),
            actor_opt_state=adam.init(state.params),
            critic_opt_state=adam.init(q),
        )

    def act(keys: jax.Array, state: DdpgState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        greedy = policy.greedy(state.policy, obs, goal)
        if not explore:
            return greedy

        learned = deviation(state.policy.params.distribution)
        spread = learned if config.ent_coef else config.action_noise

        def disturb(key: jax.Array, chosen: jax.Array) -> jax.Array:
            noise_key, uniform_key, which_key = jax.random.split(key, 3)
            noisy = sampled(noise_key, chosen, spread)
            uniform = jax.random.uniform(uniform_key, action.shape, minval=low, maxval=high)
            return jnp.where(jax.random.uniform(which_key) < config.random_eps, uniform, noisy)

        return jax.vmap(disturb)(keys, greedy)

    def observe(state: DdpgState, episodes: Episodes) -> DdpgState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def m_step(key: jax.Array, state: DdpgState, batch: Batch) -> tuple[DdpgState, UpdateMetrics]:
        pair_key, noise_key = jax.random.split(key)

        def critic_loss(q: Any) -> jax.Array:
            target_params = state.policy.params._replace(network=state.target_actor)
            target_policy = state.policy._replace(params=target_params)
            next_action = policy.greedy(target_policy, batch.next_obs, batch.goal)
            next_value = critic.value(
                state.target_critic, state.policy, batch.next_obs, batch.goal, next_action
            )
            target = critics.target(returns, batch, critics.lowest_of_pair(pair_key, next_value))
            values = critic.value(q, state.policy, batch.obs, batch.goal, batch.action)
            return jnp.mean(batch.weight * jnp.square(target - values))

        def mean_value(actions: jax.Array) -> jax.Array:
            values = critic.value(state.critic, state.policy, batch.obs, batch.goal, actions)
            return jnp.mean(values, axis=0)

        def actor_loss(params: PolicyParams) -> tuple[jax.Array, jax.Array]:
            candidate = state.policy._replace(params=params)
            chosen = policy.greedy(candidate, batch.obs, batch.goal)
            std = deviation(params.distribution)
            own = mean_value(chosen)
            value = mean_value(sampled(noise_key, chosen, std)) if config.ent_coef else own
            unit = (2 * chosen - high - low) / (high - low)
            penalty = config.action_penalty * jnp.mean(jnp.square(unit), axis=-1)
            # Half the range is spread enough: from there on, more samples only lie at the bounds.
            entropy = jnp.sum(jnp.minimum(jnp.log(std), 0.0))  # up to a constant
            loss = jnp.mean(batch.weight * (penalty - value - config.ent_coef * entropy))
            if auxiliary is not None:
                advantage = jax.lax.stop_gradient(mean_value(jnp.asarray(batch.action)) - own)
                loss += auxiliary(policy, candidate, batch, advantage)
            return loss, jnp.mean(value)

        q, critic_opt_state, loss = minimize(
            adam, critic_loss, state.critic, state.critic_opt_state
        )

        def improve(params: PolicyParams, opt_state: optax.OptState) -> Any:
            params, opt_state, (_, value) = minimize(
                adam, actor_loss, params, opt_state, has_aux=True
            )
            return params, opt_state, value

        def keep(params: PolicyParams, opt_state: optax.OptState) -> Any:
            return params, opt_state, jnp.zeros(())

        actor = state.policy.params, state.actor_opt_state
        if config.policy_delay == 1:
            params, actor_opt_state, value = improve(*actor)
        else:
            due = optax.tree.get(critic_opt_state, "count") % config.policy_delay == 0
            params, actor_opt_state, value = jax.lax.cond(due, improve, keep, *actor)
            value = Ratio(value, due.astype(jnp.float32))  # the mean over the actor's updates
        new_state = DdpgState(
            policy=state.policy._replace(params=params),
            critic=q,
            target_actor=critics.polyak_update(params.network, state.target_actor, config.polyak),
            target_critic=critics.polyak_update(q, state.target_critic, config.polyak),
            actor_opt_state=actor_opt_state,
            critic_opt_state=critic_opt_state,
        )
        return new_state, {"loss": loss, "value": value}

    return Learner(policy, init, act, observe, m_step)
