"""Goal-conditioned deep Q-learning (Mnih et al. 2015), with an optional auxiliary loss.

The policy network outputs a Q-value for each action, so the greedy action is the most likely one
of its head. HER is DQN on relabeled goals.
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
from hem.models.policy import PolicyState
from hem.types import Array, Batch, Discrete, Episodes, Metrics, Task


class DqnConfig(Protocol):
    """The fields of an algorithm's configuration that DQN reads."""

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
    def random_eps(self) -> float: ...
    @property
    def double_q(self) -> bool: ...


class DqnState(NamedTuple):
    """The learned state."""

    policy: PolicyState
    target_network: Any  # moving average of parameters
    opt_state: optax.OptState


def make(
    task: Task, config: DqnConfig, returns: Returns, auxiliary: AuxiliaryLoss | None = None
) -> Learner:
    """DQN for ``task``, which has discrete actions.

    Args:
        task: the task to learn.
        config: hyperparameters.
        returns: the reward scheme and the range of returns.
        auxiliary: added to the loss; None for nothing.
    """
    action = task.action
    assert isinstance(action, Discrete)
    policy = policies.make(
        policies.spec_of(task, config.hidden_dims, "", config.relative_goals, config.encoder)
    )
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> DqnState:
        state = policy.init(key)
        network = state.params.network
        return DqnState(state, critics.copy_params(network), adam.init(network))

    def act(keys: jax.Array, state: DqnState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        greedy = policy.greedy(state.policy, obs, goal)
        if not explore:
            return greedy

        def disturb(key: jax.Array, chosen: jax.Array) -> jax.Array:
            uniform_key, which_key = jax.random.split(key)
            uniform = jax.random.randint(uniform_key, (), 0, action.n)
            return jnp.where(jax.random.uniform(which_key) < config.random_eps, uniform, chosen)

        return jax.vmap(disturb)(keys, greedy)

    def observe(state: DqnState, episodes: Episodes) -> DqnState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def m_step(key: jax.Array, state: DqnState, batch: Batch) -> tuple[DqnState, Metrics]:
        target_params = state.policy.params._replace(network=state.target_network)
        target_policy = state.policy._replace(params=target_params)
        next_values = policy.outputs(target_policy, batch.next_obs, batch.goal)
        chooser = policy.outputs(state.policy, batch.next_obs, batch.goal)
        next_action = jnp.argmax(chooser if config.double_q else next_values, axis=-1)
        target = critics.target(returns, batch, critics.of(next_values, next_action))

        def loss(network: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            params = state.policy.params._replace(network=network)
            candidate = state.policy._replace(params=params)
            values = policy.outputs(candidate, batch.obs, batch.goal)
            value = critics.of(values, batch.action)
            bellman = jnp.mean(batch.weight * jnp.square(target - value))
            total = bellman
            if auxiliary is not None:
                # Relative to the softmax policy's value: no action is better than the best one.
                own = jnp.sum(jax.nn.softmax(values) * values, axis=-1)
                total += auxiliary(policy, candidate, batch, jax.lax.stop_gradient(value - own))
            return total, (bellman, jnp.mean(jnp.max(values, axis=-1)))

        network, opt_state, (_, (bellman, best)) = minimize(
            adam, loss, state.policy.params.network, state.opt_state, has_aux=True
        )
        params = state.policy.params._replace(network=network)
        new_state = DqnState(
            policy=state.policy._replace(params=params),
            target_network=critics.polyak_update(network, state.target_network, config.polyak),
            opt_state=opt_state,
        )
        return new_state, {"loss": bellman, "value": best}

    return Learner(policy, init, act, observe, m_step)
