"""Maximum a posteriori policy optimization (Abdolmaleki et al. 2018): EM with a critic.

The E-step computes q(a | s, g), proportional to pi(a | s, g) exp(Q(s, a, g) / temperature); the
M-step increases the likelihood of actions under q. The paper (section 3, prior work) contrasts it
with hEM: as long as no episode reaches its goal, all rewards are equal, so Q is constant, q is pi,
and nothing is learned. The same holds here for desired goals; ``--relabel-ratio`` relabels some.

The temperature minimizes the authors' dual: it is the one at which the KL divergence of q from pi
is ``epsilon``, averaged over states. As Q becomes flat the temperature falls, until q fits the
critic's errors; with a fixed ``temperature``, the metric ``kl`` of q from pi falls to 0 instead. Q
evaluates the policy, by its expected value at the next state. q is over all actions if they are
discrete, otherwise over samples of the policy. The M-step's trust region is left out: after each
E-step, the policy takes one Adam step. As q is over actions, of which a batch has one per row,
both halves are in ``m_step``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.nn import log_softmax

from hem.learners import critic as critics
from hem.learners.critic import RewardScheme, TargetClip
from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import ITSELF, Exploration
from hem.models.networks import Encoder
from hem.models.policy import PolicyParams, PolicyState
from hem.replay import estep
from hem.system import collectives, validation
from hem.system.conversion import newer
from hem.types import Algorithm, Array, Batch, Discrete, Episodes, Metrics, Replay, Strategy, Task

NAME = "mpo"
MIN_TEMPERATURE, MAX_TEMPERATURE = (
    1e-3,
    1e3,
)  # interval in which the dual is solved, in units of reward
BISECTION_STEPS = 30  # of the logarithm of that interval: to eight digits


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (256, 256)
    """Hidden layer sizes of policy and critic."""
    relative_goals: bool = newer(False)
    """Show policy and critic the goal minus the achieved goal as well."""
    encoder: Encoder = newer("cnn")
    """Features of images: all values of the last maps (cnn), or the place that each map points at
    (spatial-softmax)."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 256
    """Transitions per update."""
    relabel_ratio: float = 0.0
    """Fraction of goals that are relabeled; the others remain the desired goals."""
    epsilon: float = 0.1
    """KL divergence of the E-step's q from the policy, in nats, averaged over states."""
    temperature: float = 0.0
    """Temperature of the E-step, in units of reward; 0 to compute it from epsilon."""
    samples: int = 16
    """Continuous actions: number of policy samples weighted at each state."""
    reward_scheme: RewardScheme = "0/1"
    """Reward of a step that does not reach the goal / that does. Write --reward-scheme=-1/0."""
    target_clip: TargetClip = "range"
    """Clip targets to the range of returns (range), to the range of -1/0 returns whatever the
    reward, as openai/baselines does (baselines), or not at all (none)."""
    gamma: float | None = None
    """Discount factor; by default 1 - 1/horizon."""
    polyak: float = 0.995
    """Weight of the old target parameters in each Polyak update."""
    random_eps: float = 0.2
    """Discrete actions: probability of a uniformly random action during data collection."""
    action_noise: float = 0.2
    """Continuous actions: standard deviation of the noise added to the policy's samples during
    data collection, in units of half the action range."""

    @property
    def uses_strategy(self) -> bool:
        return self.relabel_ratio > 0

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate", "epsilon")
        validation.sizes(self, "batch_size", "samples")
        validation.at_least(0, self, "temperature", "action_noise")
        validation.fractions(self, "relabel_ratio", "polyak", "random_eps")
        critics.check(self)
        if self.temperature:
            validation.unused("with --temperature", self, "epsilon")


class MpoState(NamedTuple):
    """The learned state."""

    policy: PolicyState
    critic: Any
    target_critic: Any  # moving average of the critic's parameters
    policy_opt_state: optax.OptState
    critic_opt_state: optax.OptState


def divergence(log_prior: jax.Array, value: jax.Array, temperature: Array | float) -> jax.Array:
    """The KL divergence of q from the prior, f32[], averaged over the states of all workers.

    Args:
        log_prior: f32[B, M], log-probabilities of M actions at each of B states, normalized.
        value: f32[B, M], Q of these actions.
        temperature: of q, which is proportional to prior * exp(value / temperature).
    """
    log_q = log_softmax(log_prior + value / temperature)
    own = jnp.mean(jnp.sum(jnp.exp(log_q) * (log_q - log_prior), axis=-1))
    return collectives.mean_in_update(own)


def temperature_of(log_prior: jax.Array, value: jax.Array, epsilon: float) -> jax.Array:
    """The temperature at which q has a KL divergence of ``epsilon`` nats from the prior, f32[].

    It minimizes the dual, t epsilon + t mean_s log sum_a prior exp(value / t). The derivative is
    epsilon minus the divergence, which decreases in t, so bisection finds it, between 0.001 and
    1000. If values hardly differ, even the lowest temperature gives a smaller divergence; then it
    is the result.
    """

    def halve(_: int, interval: tuple) -> tuple:
        low, high = interval
        middle = (low + high) / 2
        too_far = divergence(log_prior, value, jnp.exp(middle)) > epsilon
        return jnp.where(too_far, middle, low), jnp.where(too_far, high, middle)

    interval = jnp.log(MIN_TEMPERATURE), jnp.log(MAX_TEMPERATURE)
    low, high = jax.lax.fori_loop(0, BISECTION_STEPS, halve, interval)
    return jnp.exp((low + high) / 2)


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """MPO for ``task``; ``strategy`` relabels goals, if any are to be relabeled."""
    action = task.action
    if isinstance(action, Discrete):
        validation.unused("with discrete actions", config, "samples", "action_noise")
    else:
        validation.unused("with continuous actions", config, "random_eps")
    spec = policies.spec_of(
        task, config.hidden_dims, "censored", config.relative_goals, config.encoder
    )
    policy, critic = policies.make(spec), critics.make(spec)
    returns = critics.returns_of(task, config.reward_scheme, config.target_clip, config.gamma)
    adam = optax.adam(config.learning_rate)
    noisy = Exploration(config.random_eps, config.action_noise)

    def init(key: jax.Array) -> MpoState:
        policy_key, critic_key = jax.random.split(key)
        state, q = policy.init(policy_key), critic.init(critic_key)
        target = critics.copy_params(q)
        return MpoState(state, q, target, adam.init(state.params), adam.init(q))

    def act(keys: jax.Array, state: MpoState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, noisy)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: MpoState, episodes: Episodes) -> MpoState:
        return state._replace(policy=policy.observe(state.policy, episodes))

    def e_step(key: jax.Array, state: MpoState, replay: Replay) -> Batch:
        return estep.mixture(
            key, replay, task, strategy, config.batch_size, config.relabel_ratio, returns.gamma
        )

    def log_probs(state: PolicyState, obs: Array, goal: Array, actions: Array) -> jax.Array:
        """f32[B, M] of actions[M, B, *A]."""
        return jax.vmap(lambda a: policy.log_prob(state, obs, goal, a), out_axes=1)(actions)

    def values(q: Any, state: PolicyState, obs: Array, goal: Array, actions: Array) -> jax.Array:
        """f32[B, M] of actions[M, B, *A]."""
        return jax.vmap(lambda a: critic.value(q, state, obs, goal, a), out_axes=1)(actions)

    def choices(
        key: jax.Array, state: PolicyState, obs: Array, goal: Array
    ) -> tuple[jax.Array, jax.Array]:
        """Actions [M, B, *A] that represent the policy, and their log-probabilities f32[B, M]."""
        rows = len(obs)
        if isinstance(action, Discrete):
            actions = jnp.broadcast_to(jnp.arange(action.n)[:, None], (action.n, rows))
            return actions, log_probs(state, obs, goal, actions)
        keys = jax.random.split(key, (config.samples, rows))
        drawn = jax.vmap(lambda k: policy.explore(k, state, obs, goal, ITSELF))(keys)
        return drawn, jnp.full((rows, config.samples), -jnp.log(config.samples))

    def m_step(key: jax.Array, state: MpoState, batch: Batch) -> tuple[MpoState, Metrics]:
        now_key, next_key = jax.random.split(key)
        seen, then = (batch.obs, batch.goal), (batch.next_obs, batch.goal)

        actions, log_p = choices(next_key, state.policy, *then)
        following = jnp.exp(log_p) * values(state.target_critic, state.policy, *then, actions)
        wanted = critics.target(returns, batch, jnp.sum(following, axis=-1))

        def critic_loss(q: Any) -> jax.Array:
            now = critic.value(q, state.policy, *seen, batch.action)
            return jnp.mean(batch.weight * jnp.square(wanted - now))

        actions, log_p = choices(now_key, state.policy, *seen)
        value = values(state.target_critic, state.policy, *seen, actions)
        temperature = config.temperature or temperature_of(log_p, value, config.epsilon)
        q_of_actions = jnp.exp(log_softmax(log_p + value / temperature))

        def policy_loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            likelihood = jnp.sum(q_of_actions * log_probs(candidate, *seen, actions), axis=-1)
            return -jnp.mean(batch.weight * likelihood)

        q, critic_opt_state, loss = minimize(
            adam, critic_loss, state.critic, state.critic_opt_state
        )
        params, policy_opt_state, _ = minimize(
            adam, policy_loss, state.policy.params, state.policy_opt_state
        )
        new_state = MpoState(
            policy=state.policy._replace(params=params),
            critic=q,
            target_critic=critics.polyak_update(q, state.target_critic, config.polyak),
            policy_opt_state=policy_opt_state,
            critic_opt_state=critic_opt_state,
        )
        return new_state, {
            "loss": loss,
            "value": jnp.mean(jnp.sum(q_of_actions * value, axis=-1)),
            "temperature": jnp.asarray(temperature, jnp.float32),
            "kl": divergence(log_p, value, temperature),
        }

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
