"""Policies that have learned nothing, for tests of what is done with policies."""

from __future__ import annotations

import jax
import numpy as np
from generated import HORIZON

from hem.envs.spaces.forms import Forms
from hem.models.policy import Policy, PolicyState
from hem.types import Box, Discrete, Spaces, Task


def task_of(forms: Forms) -> Task:
    """The task of an environment with these spaces."""
    obs, goal, action = forms
    return Task(
        name="Anything",
        obs_shape=obs.shape,
        obs_dtype=obs.dtype,
        goal_shape=goal.shape,
        goal_dtype=goal.dtype,
        action=Discrete(action.n) if action.n else Box(action.low, action.high),
        horizon=HORIZON,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=True,
        version_hash="",
        spaces=Spaces(obs.space, goal.space, action.space),
    )


def unlearnt(policy: Policy) -> PolicyState:
    """Some state, for which nothing is compiled."""
    rng = np.random.default_rng(3)
    leaves = jax.eval_shape(policy.init, jax.random.key(0))
    state = jax.tree.map(lambda x: rng.uniform(0, 1, x.shape).astype(x.dtype), leaves)
    return state._replace(params=jax.tree.map(_scaled, state.params))


def _scaled(x: np.ndarray) -> np.ndarray:
    """Around 0; in a matrix, so that a layer returns numbers as large as those that it takes."""
    width = np.sqrt(24 / len(x)) if x.ndim == 2 else 1
    return ((x - 0.5) * width).astype(x.dtype)
