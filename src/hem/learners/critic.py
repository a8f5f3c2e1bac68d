"""What critics share: reward and range, targets, target parameters, the network Q(s, a, g)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast, get_args

import jax
import jax.numpy as jnp
import optax

from hem.errors import require
from hem.models import inputs
from hem.models.inputs import Shapes
from hem.models.policy import Policy, PolicySpec, PolicyState
from hem.system import validation
from hem.types import Array, Batch, Discrete, Episodes, Metrics, Task

RewardScheme = Literal["-1/0", "0/1"]
TargetClip = Literal["range", "baselines", "none"]

AuxiliaryLoss = Callable[[Policy, PolicyState, Batch, jax.Array], jax.Array]
"""(policy, candidate state, batch, advantage f32[B] of the batch's actions) -> a loss f32[]."""


class Learner(NamedTuple):
    """An ``Algorithm`` without its E-step."""

    policy: Policy
    init: Callable[[jax.Array], Any]
    act: Callable[..., jax.Array]
    observe: Callable[[Any, Episodes], Any]
    m_step: Callable[[jax.Array, Any, Batch], tuple[Any, Metrics]]


def check(config: Any) -> None:
    """Raise ``UserError`` unless ``config`` has a reward, clip and gamma that there are."""
    validation.one_of(get_args(RewardScheme), config, "reward_scheme")
    validation.one_of(get_args(TargetClip), config, "target_clip")
    gamma = config.gamma
    require(gamma is None or 0 <= gamma < 1, f"gamma must be at least 0, less than 1, not {gamma}")


class Returns(NamedTuple):
    """What a reward can add up to."""

    shift: float  # added to the E-step's 0 and 1
    gamma: float
    worst: float  # of never reaching the goal again
    low: float  # bounds that targets are clipped to
    high: float


def returns_of(
    task: Task, reward_scheme: RewardScheme, target_clip: TargetClip, gamma: float | None
) -> Returns:
    """The reward's convention, its discount, and the range of its discounted sums.

    Args:
        task: an episode may end where the goal is reached, or go on.
        reward_scheme: of a step that does not reach the goal, and of one that does.
        target_clip: targets to the range that sums of the reward have; or as openai/baselines does,
            to -1 / (1 - gamma) .. 0 whatever the reward, so that 0/1 cannot be learnt; or not.
        gamma: the discount; None for 1 - 1/horizon.
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
    """The value of a transition, f32[B]: its reward, and what follows unless it ended there.

    A failure is for good: what follows is the worst that there is, whatever the reward. A mere 0
    would make failing the best way to stop paying -1. A truncated episode could have gone on, so
    its last step has the critic's value like any other.

    Args:
        returns: the reward's convention and range.
        batch: its rewards are 0 and 1, its discounts 0 where the relabeled episode ends.
        value: f32[B], of the next observation.
    """
    following = jnp.where(batch.failed, returns.worst, value)
    wanted = batch.reward + returns.shift + batch.discount * following
    return jax.lax.stop_gradient(jnp.clip(wanted, returns.low, returns.high))


def copy_params(params: Any) -> Any:
    """The same in memory of its own: a run gives its arrays up to each iteration, each once."""
    return jax.tree.map(jnp.copy, params)


def polyak_update(params: Any, target_params: Any, polyak: float) -> Any:
    """Target parameters, moved towards ``params``; ``polyak`` is the weight of the old ones."""
    return optax.incremental_update(params, target_params, 1 - polyak)


class Critic(NamedTuple):
    """Q(s, a, g)."""

    init: Callable[[jax.Array], Any]  # (key) -> parameters
    value: Callable[..., jax.Array]  # (parameters, policy state, obs, goal, action) -> f32[N]


def make(spec: PolicySpec) -> Critic:
    """A critic that sees what the policy of ``spec`` sees, with its statistics.

    The action is an input where it is continuous; where it is a choice, each has an output.
    """
    shapes, action = Shapes(spec.obs_shape, spec.goal_shape, spec.frames), spec.action
    outputs = action.n if isinstance(action, Discrete) else 1
    network = inputs.network(shapes, spec.hidden_dims, outputs)

    def action_input(chosen: Array) -> tuple[jax.Array, ...]:
        """The action as an input, in units of half its range, centred; nothing for a choice."""
        if isinstance(action, Discrete):
            return ()
        low, high = (jnp.array(bound, jnp.float32) for bound in action)
        return ((2 * jnp.asarray(chosen) - high - low) / (high - low),)

    def init(key: jax.Array) -> Any:
        obs, goal = (jnp.zeros((1, *shape), jnp.uint8) for shape in shapes[:2])
        chosen = action_input(jnp.zeros((1, *action.shape), action.dtype))
        statistics = inputs.statistics(shapes)
        return network.init(key, *inputs.network_inputs(shapes, *statistics, obs, goal, *chosen))

    def value(
        parameters: Any, state: PolicyState, obs: Array, goal: Array, chosen: Array
    ) -> jax.Array:
        seen = inputs.network_inputs(
            shapes, state.obs, state.goal, obs, goal, *action_input(chosen)
        )
        values = cast(jax.Array, network.apply(parameters, *seen))
        return of(values, chosen) if isinstance(action, Discrete) else values[:, 0]

    return Critic(init, value)


def of(values: jax.Array, chosen: Array) -> jax.Array:
    """The values f32[B] of these choices i32[B], of values[B, n]."""
    # A comparison, not a gather: its gradient is a scatter, slow in a scan on the CPU.
    return jnp.sum(jnp.where(jnp.arange(values.shape[-1]) == chosen[:, None], values, 0.0), axis=-1)
