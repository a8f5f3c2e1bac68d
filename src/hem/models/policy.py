"""The policy pi(a | s, g): normalizer, network and action distribution as pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp

from hem.errors import require
from hem.models import distributions, inputs, normalizer
from hem.models.distributions import Exploration
from hem.models.inputs import Shapes
from hem.models.networks import ENCODERS
from hem.models.normalizer import Statistics
from hem.types import Array, Box, Discrete, Episodes, Task


@dataclass(frozen=True)
class PolicySpec:
    """All that is needed to rebuild a policy's functions; plain data, so it can be saved."""

    obs_shape: tuple[int, ...]
    goal_shape: tuple[int, ...]
    action: Discrete | Box
    hidden_dims: tuple[int, ...]
    frames: int = 1  # images in an observation, stacked along its last axis
    head: str = ""  # action distribution, as in distributions.py; "" for the paper's choice
    bins: int = 0  # values per action dimension, for the head "binned"
    activation: str = "relu"  # between layers, as in networks.py
    temperature: float = 0.0  # it acts by samples from pi^(1/temperature); 0: the likeliest action
    achieved_at: tuple[int, ...] = ()  # where obs holds the achieved goal, for relative goals
    encoder: str = "cnn"  # of images, as in networks.py

    @property
    def shapes(self) -> Shapes:
        """The shapes of its inputs."""
        return Shapes(self.obs_shape, self.goal_shape, self.frames, self.achieved_at)


class PolicyParams(NamedTuple):
    """What is trained by gradients."""

    network: Any  # flax parameters
    distribution: Array  # global parameters of the action distribution, such as its std


class PolicyState(NamedTuple):
    """A policy's learned state: parameters, and the statistics that normalize its inputs."""

    params: PolicyParams
    obs: Statistics
    goal: Statistics


class Policy(NamedTuple):
    """Functions of a ``PolicyState``; observations [N, *O], goals [N, *G], actions [N, *A]."""

    spec: PolicySpec
    init: Callable[[jax.Array], PolicyState]
    outputs: Callable[..., jax.Array]  # (state, obs, goal) -> f32[N, P], inputs of the head
    log_prob: Callable[..., jax.Array]  # (state, obs, goal, action) -> f32[N]
    greedy: Callable[..., jax.Array]  # (state, obs, goal) -> action
    act: Callable[..., jax.Array]  # (keys[N], state, obs, goal) -> action, once it is trained
    explore: Callable[..., jax.Array]  # (keys[N], state, obs, goal, exploration) -> action
    observe: Callable[[PolicyState, Episodes], PolicyState]  # running statistics


def spec_of(
    task: Task,
    hidden_dims: tuple[int, ...],
    head: str = "",
    relative_goals: bool = False,
    encoder: str = "cnn",
) -> PolicySpec:
    """The policy spec for ``task``, with these hidden layers.

    Args:
        task: what the policy is for.
        hidden_dims: hidden layer sizes.
        head: action distribution; "" for the paper's choice.
        relative_goals: policy and critic also see the goal minus the achieved goal.
        encoder: what features of images they see.

    Raises:
        UserError: relative goals, but an observation does not contain the achieved goal; or an
            encoder that does not exist, or has no images to see.
    """
    require(encoder in ENCODERS, f"encoder must be one of {', '.join(ENCODERS)}, not {encoder!r}")
    shapes = task.policy_obs_shape, task.goal_input_shape
    require(
        encoder == "cnn" or any(map(inputs.is_image, shapes)),
        "encoder has no effect without images: leave out --encoder",
    )
    require(
        bool(task.achieved_at) or not relative_goals,
        f"observations of {task.name} do not contain the achieved goal: leave out --relative-goals",
    )
    return PolicySpec(
        *shapes,
        task.action,
        hidden_dims,
        task.frames,
        head,
        achieved_at=task.achieved_at if relative_goals else (),
        encoder=encoder,
    )


def acting(temperature: float) -> str:
    """What a policy of this temperature acts by, in words."""
    return f"samples at temperature {temperature:g}" if temperature else "the most likely action"


def make(spec: PolicySpec) -> Policy:
    """The policy's functions."""
    head = distributions.make(spec.action, spec.head, spec.bins)
    shapes = spec.shapes
    network = inputs.network(
        shapes, spec.hidden_dims, head.outputs, spec.activation, encoder=spec.encoder
    )

    def init(key: jax.Array) -> PolicyState:
        parameters = inputs.init(network, key, shapes)
        return PolicyState(PolicyParams(parameters, head.init()), *inputs.statistics(shapes))

    def outputs(state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        seen = inputs.network_inputs(shapes, state.obs, state.goal, obs, goal)
        return cast(jax.Array, network.apply(state.params.network, *seen))

    def log_prob(state: PolicyState, obs: Array, goal: Array, action: Array) -> jax.Array:
        chex.assert_shape(obs, (len(action), *spec.obs_shape))
        chex.assert_shape(goal, (len(action), *spec.goal_shape))
        chex.assert_shape(action, (len(action), *spec.action.shape))
        density = head.log_prob(outputs(state, obs, goal), state.params.distribution, action)
        chex.assert_shape(density, (len(action),))  # one number per action, not per dimension
        return density

    def greedy(state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        return head.greedy(outputs(state, obs, goal))

    def act(keys: jax.Array, state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        if not spec.temperature:
            return greedy(state, obs, goal)
        return explore(keys, state, obs, goal, Exploration(temperature=spec.temperature))

    def explore(
        keys: jax.Array, state: PolicyState, obs: Array, goal: Array, exploration: Exploration
    ) -> jax.Array:
        return head.explore(keys, outputs(state, obs, goal), state.params.distribution, exploration)

    def observe(state: PolicyState, episodes: Episodes) -> PolicyState:
        length = jnp.asarray(episodes.length)
        timesteps = jnp.arange(episodes.obs.shape[1])
        visited = ((length[:, None] > 0) & (timesteps <= length[:, None])).reshape(-1)

        def seen(stats: Statistics, x: Array, shape: tuple[int, ...], times: Array) -> Statistics:
            if inputs.is_image(shape):
                return stats
            rows = inputs.flat(x, shape).reshape(-1, len(stats.mean))
            return normalizer.update(stats, rows, times)

        goals = seen(state.goal, episodes.achieved, spec.goal_shape, visited)
        return state._replace(
            obs=seen(state.obs, episodes.obs, spec.obs_shape, visited),
            # A desired goal is seen at each step, so it counts that often. Otherwise, for an object
            # that rarely moves, achieved goals would set a scale that clips all desired ones.
            goal=seen(goals, episodes.goal, spec.goal_shape, length),
        )

    return Policy(spec, init, outputs, log_prob, greedy, act, explore, observe)
