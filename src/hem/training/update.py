"""The E- and M-steps of an iteration, as one compiled scan."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import chex
import jax
import jax.numpy as jnp

from hem.replay import buffer as ring
from hem.system import collectives
from hem.types import Algorithm, Episodes, UpdateMetrics

Update = Callable[[jax.Array, Any, ring.Replay, Episodes], tuple[Any, UpdateMetrics]]


def make_update(algorithm: Algorithm, updates: int, average_interval: int = 1) -> Update:
    """What follows new episodes: the algorithm's statistics, and all E- and M-steps as one scan.

    Args:
        algorithm: what learns.
        updates: M-steps.
        average_interval: with several workers, updates from one averaging to the next: of
            gradients where it is 1, else of all that the algorithm has learned.

    Returns:
        A pure function (key, agent state, replay with the episodes, new episodes) -> agent state,
        means of the M-steps' metrics.
    """
    together = average_interval == 1

    def update(
        key: jax.Array, agent_state: Any, replay: ring.Replay, episodes: Episodes
    ) -> tuple[Any, UpdateMetrics]:
        agent_state = algorithm.observe(agent_state, episodes)

        def step(agent_state: Any, drawn: tuple[jax.Array, jax.Array]) -> tuple[Any, UpdateMetrics]:
            key, number = drawn
            e_key, m_key = jax.random.split(key)
            batch = algorithm.e_step(e_key, agent_state, replay)
            chex.assert_equal_shape_prefix(jax.tree.leaves(batch), 1)
            with nullcontext() if together else collectives.apart():
                learned, metrics = algorithm.m_step(m_key, agent_state, batch)
            chex.assert_trees_all_equal_shapes_and_dtypes(agent_state, learned)
            chex.assert_rank(jax.tree.leaves(metrics), 0)
            if not together:
                now = (number % average_interval == 0) | (number == updates)
                learned = jax.lax.cond(now, collectives.mean_of_floats, lambda x: x, learned)
            return learned, metrics

        keys = jax.random.split(collectives.own_key(key), updates)
        numbers = jnp.arange(1, updates + 1)
        agent_state, history = jax.lax.scan(step, agent_state, (keys, numbers))
        means = {name: jax.tree.map(jnp.mean, values) for name, values in history.items()}
        return agent_state, collectives.mean(means)

    return update
