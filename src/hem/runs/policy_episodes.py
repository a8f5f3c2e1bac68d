"""Fresh episodes of a run's policy: the ones that it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from hem.errors import require
from hem.runs.run import Run
from hem.training import finite
from hem.training.loop import TEST, rng_key
from hem.training.rollout import collector
from hem.types import Episodes, Task

AT_ONCE = 1000  # episodes collected together, so that any number of them fits in memory


class Part(NamedTuple):
    """Some of the episodes."""

    task: Task
    episodes: Episodes


def policy_episodes(
    run: Run,
    episodes: int,
    seed: int = 0,
    at_once: int = AT_ONCE,
    acting_temperature: float | None = None,
) -> Iterator[Part]:
    """Episodes never seen in training, which run to the horizon, a part at a time.

    Args:
        run: the run, whose best policy so far acts.
        episodes: number of episodes.
        seed: seed of the episodes; the same seed gives every policy the same episodes, whatever
            their number and that of the parts.
        at_once: episodes in a part.
        acting_temperature: at which it acts; None for its own.

    Raises:
        UserError: the arguments are out of range, the policy is missing or for another task, or
            something in the episodes is not finite.
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32), not {seed}")
    env = run.experiment.make_env()
    loaded = run.policy
    if acting_temperature is not None:
        loaded = loaded.at_temperature(acting_temperature)
    loaded.require_fit(env.task)

    def act(keys: jax.Array, state: Any, obs: Any, goal: Any, explore: bool) -> jax.Array:
        return loaded.policy.act(keys, state, obs, goal)

    at_once = min(episodes, at_once)
    collect = collector(env, act, at_once, explore=False, ends=False)
    # A separate random stream, so the seed of a training run can be reused here.
    key = rng_key(seed, TEST)
    for first in range(0, episodes, at_once):
        collected = collect(key, loaded.state, first)
        bad = finite.non_finite(collected, loaded.state, {})
        finite.check_evaluation(bad, env.task.name)
        asked = slice(episodes - first)
        kept = jax.tree.map(lambda values, asked=asked: np.asarray(values)[asked], collected)
        yield Part(env.task, kept)
