"""The policy pi(a | s, g): normaliser, network and action distribution as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from hem import heads, normaliser
from hem.errors import require
from hem.heads import Exploration
from hem.networks import MLP, PictureMLP
from hem.normaliser import Statistics
from hem.types import Array, Box, Discrete, Episodes, Task


@dataclass(frozen=True)
class PolicySpec:
    """All that is needed to rebuild a policy's functions; plain data, so it can be a file."""

    obs_shape: tuple[int, ...]
    goal_shape: tuple[int, ...]
    action: Discrete | Box
    hidden: tuple[int, ...]
    frames: int = 1  # pictures in an observation, one after the other along its last axis


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
    return PolicySpec(task.seen_shape, task.told_shape, task.action, hidden, task.frames)


def make(spec: PolicySpec) -> Policy:
    """The policy's functions."""
    head = heads.make(spec.action)
    network = _network(spec, head.outputs)
    sizes = tuple(0 if _is_picture(shape) else math.prod(shape) for shape in _shapes(spec))

    def init(key: jax.Array) -> PolicyState:
        of_obs, of_goal = (normaliser.init(size) for size in sizes)
        obs, goal = (jnp.zeros((1, *shape), jnp.uint8) for shape in _shapes(spec))
        parameters = network.init(key, *inputs(of_obs, of_goal, obs, goal))
        return PolicyState(parameters, head.extra(), of_obs, of_goal)

    def inputs(
        obs_statistics: Statistics, goal_statistics: Statistics, obs: Array, goal: Array
    ) -> list[Any]:
        """What the network takes: pictures as they are, if there are any, and a vector."""
        vectors, pictures = [], []
        for stats, x, shape, frames in (
            (obs_statistics, obs, spec.obs_shape, spec.frames),
            (goal_statistics, goal, spec.goal_shape, 1),
        ):
            if _is_picture(shape):
                pictures += reversed(jnp.split(jnp.asarray(x), frames, axis=-1))  # latest first
            else:
                vectors.append(normaliser.normalise(stats, _flat(x, shape)))
        seen = [pictures] if pictures else []
        return [*seen, jnp.concatenate(vectors or [jnp.zeros((len(obs), 0))], axis=-1)]

    def outputs(state: PolicyState, obs: Array, goal: Array) -> jax.Array:
        return cast(
            jax.Array, network.apply(state.network, *inputs(state.obs, state.goal, obs, goal))
        )

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
        visited = (kept[:, None] & (moments <= episodes.length[:, None])).reshape(-1)

        def seen(stats: Statistics, x: Array, shape: tuple[int, ...], valid: Array) -> Statistics:
            if _is_picture(shape):
                return stats
            return normaliser.update(stats, _flat(x, shape).reshape(-1, len(stats.mean)), valid)

        goals = seen(state.goal, episodes.achieved, spec.goal_shape, visited)
        return state._replace(
            obs=seen(state.obs, episodes.obs, spec.obs_shape, visited),
            goal=seen(goals, episodes.goal, spec.goal_shape, kept),
        )

    return Policy(spec, init, log_prob, greedy, explore, observe)


def _network(spec: PolicySpec, outputs: int) -> MLP | PictureMLP:
    pictures = [
        (*shape[:2], shape[2] // frames)
        for shape, frames in ((spec.obs_shape, spec.frames), (spec.goal_shape, 1))
        if _is_picture(shape)
    ]
    require(
        len(set(pictures)) <= 1,
        f"pictures of observations and goals must be of one shape, not {pictures}",
    )
    return PictureMLP(spec.hidden, outputs) if pictures else MLP(spec.hidden, outputs)


def _shapes(spec: PolicySpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return spec.obs_shape, spec.goal_shape


def _is_picture(shape: tuple[int, ...]) -> bool:
    """Whether it is u8[H, W, C]: nothing else in hem has three dimensions."""
    return len(shape) == 3


def _flat(x: Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
