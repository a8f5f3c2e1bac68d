"""What critics share: reward schemes, targets, target parameters, the network Q(s, a, g)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast, get_args

import chex
import jax
import jax.numpy as jnp
import optax

from hem.errors import require
from hem.models import inputs
from hem.models.policy import Policy, PolicySpec, PolicyState
from hem.system import validation
from hem.types import Array, Batch, Discrete, Episodes, Task, UpdateMetrics

RewardScheme = Literal["-1/0", "0/1"]
TargetClip = Literal["range", "baselines", "none"]

AuxiliaryLoss = Callable[[Policy, PolicyState, Batch, jax.Array], jax.Array]
"""(policy, candidate state, batch, advantage f32[B] of the batch's actions) -> loss f32[]."""


class Learner(NamedTuple):
    """An ``Algorithm`` without its E-step."""

    policy: Policy
    init: Callable[[jax.Array], Any]
    act: Callable[..., jax.Array]
    observe: Callable[[Any, Episodes], Any]
    m_step: Callable[[jax.Array, Any, Batch], tuple[Any, UpdateMetrics]]


def check(config: Any) -> None:
    """Raise ``UserError`` unless ``config`` has a valid reward scheme, target clip and gamma."""
    validation.one_of(get_args(RewardScheme), config, "reward_scheme")
    validation.one_of(get_args(TargetClip), config, "target_clip")
    gamma = config.gamma
    require(gamma is None or 0 <= gamma < 1, f"gamma must be in [0, 1), not {gamma}")


class Returns(NamedTuple):
    """The reward scheme and the range of returns."""

    shift: float  # added to the E-step's 0 and 1
    gamma: float
    worst: float  # return if the goal is never reached again
    low: float  # bounds that targets are clipped to
    high: float


def returns_of(
    task: Task, reward_scheme: RewardScheme, target_clip: TargetClip, gamma: float | None
) -> Returns:
    """The reward scheme, its discount, and the range of its returns.

    Args:
        task: its episodes end when the goal is reached, or continue.
        reward_scheme: rewards of a step that does not reach the goal / that does.
        target_clip: clip targets to the range of returns ("range"), to -1 / (1 - gamma) .. 0
            whatever the reward, as openai/baselines does ("baselines"; 0/1 cannot be learned then),
            or not at all ("none").
        gamma: discount factor; None for 1 - 1/horizon.
    """
    gamma = 1 - 1 / task.horizon if gamma is None else gamma
    longest = 1 / (1 - gamma)
    if target_clip == "none":
        low, high = -jnp.inf, jnp.inf
    elif reward_scheme == "-1/0" or target_clip == "baselines":
        low, high = -longest, 0.0
    else:
        low, high = 0.0, 1.0 if task.terminates_on_success else longest
    shift = -1.0 if reward_scheme == "-1/0" else 0.0
    return Returns(shift, gamma, shift * longest, float(low), float(high))


def target(returns: Returns, batch: Batch, value: jax.Array) -> jax.Array:
    """TD targets, f32[B]: the reward, plus the discounted next value unless the episode ended.

    A failure is permanent: the next value is the worst possible return, whatever the reward. With
    0 instead, failing would be the best way to avoid further -1 rewards. A truncated episode could
    have continued, so its last step bootstraps like any other.

    Args:
        returns: the reward scheme and the range of returns.
        batch: its rewards are 0 and 1, its discounts 0 where the relabeled episode ends. With
            several steps to the next observation, both are what these add up to.
        value: f32[B], of the next observation.

    Raises:
        AssertionError: there is not one value per transition.
    """
    chex.assert_equal_shape([batch.reward, batch.duration, batch.discount, batch.failed, value])
    following = jnp.where(batch.failed, returns.worst, value)
    wanted = batch.reward + returns.shift * batch.duration + batch.discount * following
    return jax.lax.stop_gradient(jnp.clip(wanted, returns.low, returns.high))


def copy_params(params: Any) -> Any:
    """A copy in separate memory: a run donates its arrays to each iteration, each only once."""
    return jax.tree.map(jnp.copy, params)


def polyak_update(params: Any, target_params: Any, polyak: float) -> Any:
    """Target parameters, moved toward ``params``; ``polyak`` is the weight of the old ones."""
    return optax.incremental_update(params, target_params, 1 - polyak)


class Critic(NamedTuple):
    """Q(s, a, g)."""

    init: Callable[[jax.Array], Any]  # (key) -> parameters
    value: Callable[..., jax.Array]  # (parameters, policy state, obs, goal, action) -> f32[N]


def make(spec: PolicySpec, layer_norm: bool = False) -> Critic:
    """A critic with the inputs of the policy of ``spec``, normalized by the policy's statistics.

    A continuous action is an additional input; discrete actions have one output each.

    Args:
        spec: the policy's inputs, hidden layers and actions.
        layer_norm: normalize each hidden layer.
    """
    shapes, action = spec.shapes, spec.action
    outputs = action.n if isinstance(action, Discrete) else 1
    network = inputs.network(
        shapes, spec.hidden_dims, outputs, layer_norm=layer_norm, encoder=spec.encoder
    )

    def action_input(chosen: Array) -> tuple[jax.Array, ...]:
        """The action as an input, centered, in units of half its range; nothing if discrete."""
        if isinstance(action, Discrete):
            return ()
        low, high = (jnp.array(bound, jnp.float32) for bound in action)
        return ((2 * jnp.asarray(chosen) - high - low) / (high - low),)

    def init(key: jax.Array) -> Any:
        chosen = action_input(jnp.zeros((1, *action.shape), action.dtype))
        return inputs.init(network, key, shapes, *chosen)

    def value(
        parameters: Any, state: PolicyState, obs: Array, goal: Array, chosen: Array
    ) -> jax.Array:
        seen = inputs.network_inputs(
            shapes, state.obs, state.goal, obs, goal, *action_input(chosen)
        )
        values = cast(jax.Array, network.apply(parameters, *seen))
        return of(values, chosen) if isinstance(action, Discrete) else values[:, 0]

    return Critic(init, value)


def ensemble(critic: Critic, size: int) -> Critic:
    """``size`` critics of different initial parameters. Their values are f32[size, N]."""
    if size == 1:  # the parameters of one, as in checkpoints from before there were ensembles
        return Critic(critic.init, lambda *seen: critic.value(*seen)[None])

    def init(key: jax.Array) -> Any:
        return [critic.init(k) for k in jax.random.split(key, size)]

    def value(parameters: Any, *seen: Any) -> jax.Array:
        return jnp.stack([critic.value(p, *seen) for p in parameters])

    return Critic(init, value)


def lowest_of_pair(key: jax.Array, values: jax.Array) -> jax.Array:
    """The lower f32[N] of two random rows of ``values``, f32[size, N] (Chen et al. 2021, REDQ)."""
    if len(values) > 2:
        values = values[jax.random.choice(key, len(values), (2,), replace=False)]
    return jnp.min(values, axis=0)


def of(values: jax.Array, chosen: Array) -> jax.Array:
    """The values f32[B] of the chosen actions i32[B], from values[B, n]."""
    # A comparison, not a gather, whose gradient is a scatter: slow in a scan on the CPU.
    return jnp.sum(jnp.where(jnp.arange(values.shape[-1]) == chosen[:, None], values, 0.0), axis=-1)
