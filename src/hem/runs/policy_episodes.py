"""Fresh episodes of a run's policy, such as the ones that it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from hem.errors import require
from hem.runs.run import Run
from hem.training import finite
from hem.training.learning import TEST, rng_key
from hem.training.rollout import Act, collector
from hem.types import BatchedEnv, Episodes, JaxEnv, Task

AT_ONCE = 1000  # episodes collected together, so that any number of them fits in memory


class Part(NamedTuple):
    """Some of the episodes."""

    task: Task
    episodes: Episodes


def policy_episodes(
    run: Run, episodes: int, seed: int = 0, at_once: int = AT_ONCE
) -> Iterator[Part]:
    """Episodes never seen in training, which run to the horizon, a part at a time.

    Args:
        run: the run, whose policy acts.
        episodes: number of episodes.
        seed: seed of the episodes; the same seed gives every policy the same episodes, whatever
            their number and that of the parts.
        at_once: episodes in a part.

    Raises:
        UserError: the arguments are out of range, the policy is missing or for another task, or
            something in the episodes is not finite.
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32), not {seed}")
    env = run.experiment.make_env()
    # A separate random stream, so the seed of a training run can be reused here.
    key = rng_key(seed, TEST)
    for part in collected(env, *actor(run, env.task), key, episodes, at_once):
        yield Part(env.task, part)


def actor(run: Run, task: Task) -> tuple[Act, Any]:
    """A run's policy as what acts in a collector, and its state.

    Raises:
        UserError: it is missing or for another task.
    """
    loaded = run.policy
    loaded.require_fit(task)

    def act(keys: jax.Array, state: Any, obs: Any, goal: Any, explore: bool) -> jax.Array:
        return loaded.policy.act(keys, state, obs, goal)

    return act, loaded.state


def collected(
    env: JaxEnv | BatchedEnv,
    act: Act,
    state: Any,
    key: jax.Array,
    episodes: int,
    at_once: int = AT_ONCE,
    explore: bool = False,
    ends: bool = False,
) -> Iterator[Episodes]:
    """New episodes of whatever acts, a part at a time.

    Args:
        env: the environment.
        act: what acts.
        state: its state.
        key: of the episodes.
        episodes: number of episodes.
        at_once: episodes in a part.
        explore: whether it explores.
        ends: whether an episode ends at success.

    Raises:
        EnvError: something in them is not finite.
    """
    at_once = min(episodes, at_once)
    collect = collector(env, act, at_once, explore, ends)
    for first in range(0, episodes, at_once):
        found = collect(key, state, first)
        finite.check_episodes(finite.non_finite(found, state, {}), env.task.name)
        asked = slice(episodes - first)
        yield jax.tree.map(lambda values, asked=asked: np.asarray(values)[asked], found)
