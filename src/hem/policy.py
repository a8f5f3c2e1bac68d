"""The policy pi(a | s, g): normaliser, network and action distribution as pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from hem import heads, normaliser
from hem.heads import Exploration
from hem.networks import MLP
from hem.normaliser import Statistics
from hem.types import Array, Box, Discrete, Episodes, Task


@dataclass(frozen=True)
class PolicySpec:
    """All that is needed to rebuild a policy's functions; plain data, so it can be a file."""

    obs_shape: tuple[int, ...]
    goal_shape: tuple[int, ...]
    action: Discrete | Box
    hidden: tuple[int, ...]


class PolicyState(NamedTuple):
    """What a policy has learnt."""

    network: Any  # flax parameters
    extra: Array  # the head's global parameters
    obs: Statistics
    goal: Statistics


class Policy(NamedTuple):
    """Behaviour over ``PolicyState``; observations [N, *O], goals [N, *G], actions [N, *A]."""

    spec: PolicySpec
    init: Callable[[jax.Array], PolicyState]
    log_prob: Callable[..., jax.Array]  # (state, obs, goal, action) -> f32[N]
    greedy: Callable[..., jax.Array]  # (state, obs, goal) -> action
    explore: Callable[..., jax.Array]  # (keys[N], state, obs, goal, how) -> action
    observe: Callable[[PolicyState, Episodes], PolicyState]  # running statistics


def spec_of(task: Task, hidden: tuple[int, ...]) -> PolicySpec:
    """The policy that ``task`` calls for, with these hidden layers."""
    return PolicySpec(task.obs_shape, task.goal_shape, task.action, hidden)


def make(spec: PolicySpec) -> Policy:
    """The policy's functions."""
    head = heads.make(spec.action)
    network = MLP(spec.hidden, head.outputs)
    sizes = _size(spec.obs_shape), _size(spec.goal_shape)

    def init(key: jax.Array) -> PolicyState:
        parameters = network.init(key, jnp.zeros((1, sum(sizes))))
        return PolicyState(
            parameters, head.extra(), normaliser.init(sizes[0]), normaliser.init(sizes[1])
        )

    def outputs(state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        inputs = [
            normaliser.normalise(state.obs, _flat(obs, spec.obs_shape)),
            normaliser.normalise(state.goal, _flat(goal, spec.goal_shape)),
        ]
        return cast(jax.Array, network.apply(state.network, jnp.concatenate(inputs, axis=-1)))

    def log_prob(state: PolicyState, obs: Array, goal: Array, action: Array) -> jax.Array:
        return head.log_prob(outputs(state, obs, goal), state.extra, action)

    def greedy(state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        return head.greedy(outputs(state, obs, goal))

    def explore(
        keys: jax.Array, state: PolicyState, obs: Array, goal: Array, how: Exploration
    ) -> jax.Array:
        return head.explore(keys, outputs(state, obs, goal), state.extra, how)

    def observe(state: PolicyState, episodes: Episodes) -> PolicyState:
        kept = jnp.asarray(episodes.length) > 0
        moments = jnp.arange(episodes.obs.shape[1])
        visited = kept[:, None] & (moments <= episodes.length[:, None])
        obs = _flat(episodes.obs, spec.obs_shape).reshape(-1, sizes[0])
        achieved = _flat(episodes.achieved, spec.goal_shape).reshape(-1, sizes[1])
        desired = _flat(episodes.goal, spec.goal_shape)
        goals = normaliser.update(state.goal, achieved, visited.reshape(-1))
        return state._replace(
            obs=normaliser.update(state.obs, obs, visited.reshape(-1)),
            goal=normaliser.update(goals, desired, kept),
        )

    return Policy(spec, init, log_prob, greedy, explore, observe)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _flat(x: Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.reshape(x, (*x.shape[: x.ndim - len(shape)], _size(shape)))
