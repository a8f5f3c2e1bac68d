"""Collectors: run a policy for N whole episodes in either kind of environment.

A collector is ``collect(key, S, first_episode) -> Episodes``. Start, goal, noise and dynamics of
an episode depend only on ``key`` and its number, so a counter is enough to resume exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hem.models.frame_stack import latest
from hem.system.compile_cache import jit
from hem.types import BatchedEnv, Episodes, JaxEnv, Task

Act = Callable[..., jax.Array]  # (keys[N], S, obs, goal, explore) -> action
Collect = Callable[[jax.Array, Any, Any], Episodes]


class Interrupted(Exception):
    """The collection was abandoned because the run was asked to stop."""


def collector(
    env: JaxEnv | BatchedEnv,
    act: Act,
    n: int,
    explore: bool,
    ends: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> Collect:
    """A collector of ``n`` episodes, compiled.

    Args:
        env: the environment.
        act: the algorithm's ``act``.
        n: number of episodes collected together, N.
        explore: whether ``act`` explores, as in training.
        ends: whether an episode ends at success; otherwise it always runs to the horizon.
        should_stop: called between the steps of a batched environment; true raises ``Interrupted``.
    """
    if isinstance(env, JaxEnv):
        return jit(scan_collector(env, act, n, explore, ends))
    return _batched_collector(env, act, n, explore, ends, should_stop)


def scan_collector(env: JaxEnv, act: Act, n: int, explore: bool, ends: bool) -> Collect:
    """The collector for a ``JaxEnv``: pure, to be compiled with its caller."""
    task = env.task
    observe = jax.vmap(env.observe)

    def collect(key: jax.Array, agent_state: Any, first_episode: jax.Array) -> Episodes:
        start_keys, noise_keys = _episode_keys(key, first_episode, n)
        state, goal = jax.vmap(env.reset)(start_keys)
        obs, achieved = observe(state)

        def step(carry: tuple, t: jax.Array) -> tuple[tuple, tuple]:
            state, obs, achieved, done = carry
            action = act(_at(noise_keys, 2 * t), agent_state, obs, goal, explore)
            next_state = jax.vmap(env.step)(_at(noise_keys, 2 * t + 1), state, action)
            next_obs, next_achieved = observe(next_state)
            ended = done | (ends & task.success(next_achieved, goal))
            return (next_state, next_obs, next_achieved, ended), (obs, achieved, action, done)

        last, trail = jax.lax.scan(
            step, (state, obs, achieved, jnp.zeros(n, bool)), jnp.arange(task.horizon)
        )
        _, last_obs, last_achieved, _ = last
        obs, achieved, action, done = trail
        return Episodes(
            obs=jnp.swapaxes(jnp.concatenate([obs, last_obs[None]]), 0, 1),
            achieved=jnp.swapaxes(jnp.concatenate([achieved, last_achieved[None]]), 0, 1),
            goal=goal,
            action=jnp.swapaxes(action, 0, 1),
            length=jnp.sum(~done, axis=0, dtype=jnp.int32),
            failed=jnp.zeros(n, bool),
        )

    return collect


def _batched_collector(
    env: BatchedEnv,
    act: Act,
    n: int,
    explore: bool,
    ends: bool,
    should_stop: Callable[[], bool],
) -> Collect:
    task = env.task
    wave = min(n, env.max_num_envs or n)
    episode_keys = jit(lambda key, first: _episode_keys(key, first, wave))

    @jit
    def decide(
        noise_keys: jax.Array, t: int, agent_state: Any, obs: Any, goal_input: Any
    ) -> jax.Array:
        return act(_at(noise_keys, 2 * t), agent_state, obs, goal_input, explore)

    def run(key: jax.Array, agent_state: Any, first_episode: int, number: int) -> Episodes:
        start_keys, noise_keys = episode_keys(key, first_episode)
        state, goal = env.reset(np.asarray(jax.random.key_data(start_keys))[:number])
        goal_input = env.render_goal(goal) if task.image_goals and env.render_goal else goal
        goal, goal_input = (_filled_up(x, wave) for x in (goal, goal_input))
        episodes = _empty(task, goal, goal_input)
        active = np.arange(number)  # rows still running: ended episodes are not simulated
        episodes.obs[active, 0], episodes.achieved[active, 0] = env.observe(state)
        for t in range(task.horizon):
            if should_stop():
                raise Interrupted
            seen = latest(lambda t: episodes.obs[:, t], t, task.frames)
            action = np.asarray(decide(noise_keys, t, agent_state, seen, goal_input))
            state = env.step(state, action[active])
            obs, achieved = env.observe(state)
            episodes.action[active, t] = action[active]
            episodes.obs[active, t + 1], episodes.achieved[active, t + 1] = obs, achieved
            episodes.length[active] = t + 1
            reached = np.asarray(task.success(achieved, goal[active]))
            over = reached & ends
            if env.ending is not None:
                ending = env.ending(state)
                if t + 1 < task.horizon:  # at the horizon, it may only be a time limit
                    episodes.failed[active] = ending.terminated & ~reached & ~ending.lost
                episodes.length[active[ending.lost]] = 0
                over |= ending.any
            active, state = active[~over], _rows(state, ~over)
            if not len(active):
                break
        return _rows(episodes, np.arange(number))

    def collect(key: jax.Array, agent_state: Any, first_episode: int) -> Episodes:
        if wave == n:
            return run(key, agent_state, first_episode, n)
        waves = [
            run(key, agent_state, first_episode + done, min(wave, n - done))
            for done in range(0, n, wave)
        ]
        return jax.tree.map(lambda *parts: np.concatenate(parts), *waves)

    return collect


def _rows(tree: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[rows], tree)


def _filled_up(x: np.ndarray, n: int) -> np.ndarray:
    """The rows of ``x``, padded with zeros to ``n``: policies are compiled for full waves."""
    return np.concatenate([x, np.zeros((n - len(x), *x.shape[1:]), x.dtype)]) if len(x) < n else x


def _empty(task: Task, goal: np.ndarray, goal_input: np.ndarray) -> Episodes:
    n, horizon, action = len(goal), task.horizon, task.action
    return Episodes(
        obs=np.zeros((n, horizon + 1, *task.obs_shape), task.obs_dtype),
        achieved=np.zeros((n, horizon + 1, *task.goal_shape), task.goal_dtype),
        goal=goal,
        action=np.zeros((n, horizon, *action.shape), action.dtype),
        length=np.zeros(n, np.int32),
        failed=np.zeros(n, bool),
        goal_obs=goal_input if task.image_goals else None,
    )


def _episode_keys(key: jax.Array, first: Any, n: int) -> tuple[jax.Array, jax.Array]:
    """A key for the start and one for all noise of each of ``n`` episodes."""
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, first + i)))(jnp.arange(n))
    return keys[:, 0], keys[:, 1]


def _at(keys: jax.Array, timestep: Any) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, timestep))(keys)
