"""What tests of the door share: an environment of a toy, and episodes of it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from hem import registry
from hem.training.rollout import collector
from hem.types import BatchedEnv, Discrete, Episodes


def world_of(name: str, film: bool = False, **settings) -> BatchedEnv:
    """The environment of a toy, or of anything with a colon in its name."""
    module = registry.load("environment", name if ":" in name else f"{toys.__file__}:{name}")
    config = module.Config(**({"horizon": 8, "env_workers": 0} | settings))
    return (module.film if film else module.make)(config)


def collect(env: BatchedEnv, n: int, first: int = 0, ends: bool = False) -> Episodes:
    """Episodes of a policy that looks at nothing, with zeros in what lies past their lengths."""
    action = env.task.action

    def act(keys, agent_state, obs, goal, explore):
        if isinstance(action, Discrete):
            return jax.vmap(lambda key: jax.random.randint(key, (), 0, action.n))(keys)
        low, high = jnp.array(action.low), jnp.array(action.high)
        return jax.vmap(lambda key: jax.random.uniform(key, low.shape, minval=low, maxval=high))(
            keys
        )

    episodes = collector(env, act, n, True, ends)(jax.random.key(1), None, first)
    timesteps = np.arange(env.task.horizon + 1)
    past = timesteps > episodes.length[:, None]
    episodes.obs[past] = 0
    episodes.achieved[past] = 0
    episodes.action[past[:, 1:]] = 0
    return episodes


@pytest.fixture(scope="session")
def open_world() -> Callable[..., BatchedEnv]:
    return world_of


@pytest.fixture(scope="session")
def run() -> Callable[..., Episodes]:
    return collect
