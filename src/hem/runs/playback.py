"""Video frames of a policy: one episode after another, or many side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium.utils.seeding import np_random

from hem.envs.gym_env import GoalEnv, batched, policy_goal
from hem.errors import require
from hem.models.frame_stack import Recent
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.run import Run
from hem.types import BatchedEnv, JaxEnv
from hem.viz.grid import EpisodeStatus, Layout, VideoGrid

PAUSE = 6  # frames held on the last state of an episode, so its end can be seen
END = 12  # the same for many episodes, where there is more to see

Done = Callable[[float], Any]  # called with the share of the work done, 0 to 1


class Playback(NamedTuple):
    """What a video is made from."""

    policy: LoadedPolicy
    make: Callable[[], JaxEnv | BatchedEnv]


class TileUpdate(NamedTuple):
    """An episode after its latest step."""

    tile: int
    image: np.ndarray  # u8[H, W, 3]
    standing: EpisodeStatus


def frames(
    run_dir: str | Path | Run,
    episodes: int = 5,
    seed: int = 0,
    trust: bool = False,
    done: Done = lambda share: None,
    stay: bool = True,
) -> Iterator[np.ndarray]:
    """Images u8[H, W, 3] of a run's policy, one per step, episode after episode.

    Args:
        run_dir: the run's folder, or the run.
        episodes: number of episodes.
        seed: seed of the first episode; the others count up from it.
        trust: allow environment code that the run's configuration names.
        done: called with the share of the episodes drawn.
        stay: show what comes after success, where the environment goes on.
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    scene = _open(run_dir, seed, trust)
    env = GoalEnv(scene.make(), render_mode="rgb_array")
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        samples = [_samples(seed + episode)]
        frame = env.render()
        yield frame
        ended, steps = False, 0
        while not ended:
            seen = (observation[key][None] for key in ("observation", "desired_goal"))
            action = scene.policy.act(_keys(samples), *seen)[0]
            observation, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated or (info["is_success"] and not stay)
            steps += 1
            frame = env.render()
            done((episode + steps / env.task.horizon) / episodes)
            yield frame
        yield from [frame] * PAUSE


def side_by_side(
    run_dir: str | Path | Run,
    where: Layout,
    seed: int = 0,
    trust: bool = False,
    done: Done = lambda share: None,
) -> Iterator[np.ndarray]:
    """Images u8[H, W, 3] of one episode per tile, all at once, one per step.

    A tile whose episode has ended stays unchanged and shows whether the goal was reached. Tile i
    begins like episode i of ``frames``.

    Args:
        run_dir: the run's folder, or the run.
        where: the layout of the tiles.
        seed: seed of the first tile's episode; the others count up from it.
        trust: allow environment code that the run's configuration names.
        done: called with the share of the longest possible episode drawn.
    """
    scene = _open(run_dir, seed, trust)
    groups = _groups(scene, where.tiles, seed)
    shots = [shot for group in groups for shot in group.shots]
    mosaic = VideoGrid(where, shots[0].image.shape)
    while True:
        for shot in shots:
            mosaic.put(*shot)
        frame = mosaic.image()
        yield frame
        if not any(group.running.any() for group in groups):
            break
        shots = [shot for group in groups for shot in group.step()]
        done(max(group.share for group in groups))
    yield from [frame] * END


class BatchedPlayback:
    """Episodes that run side by side, each until it ends."""

    def __init__(
        self, env: JaxEnv | BatchedEnv, policy: LoadedPolicy, tiles: Sequence[int], seed: int
    ) -> None:
        """Begin the episodes.

        Args:
            env: the environment.
            policy: what acts.
            tiles: the tile of each episode.
            seed: seed of the episode in tile 0; the others count up from it.
        """
        self._world: Any = batched(env)
        self._task, self._policy, self._tiles = env.task, policy, tiles
        self._random = [np_random(seed + tile)[0] for tile in tiles]
        self._samples = [_samples(seed + tile) for tile in tiles]
        self._state, goal = self._world.reset(_keys(self._random))
        self._goal_input, self._goal = np.asarray(policy_goal(env, goal)), np.asarray(goal)
        self._obs = np.array(self._world.observe(self._state)[0])
        self._recent = Recent(self._task.frames, self._obs)
        self._rows = np.arange(len(tiles))  # the episodes in the state
        self._steps = 0
        self.running = np.ones(len(tiles), bool)
        self.shots = self._draw(self._rows, np.zeros(len(tiles), bool))

    @property
    def share(self) -> float:
        """Steps taken, as a share of the horizon."""
        return self._steps / self._task.horizon

    def step(self) -> list[TileUpdate]:
        """Take a step in each episode that has not ended, and draw those."""
        if not self.running.any():
            return []
        self._move()
        obs, achieved = self._world.observe(self._state)
        rows, before = self._rows, self.running[self._rows]
        self._obs = self._obs.copy()
        self._obs[rows] = obs
        self._recent.add(self._obs)
        reached = np.asarray(self._task.success(np.asarray(achieved), self._goal[rows]))
        self.running[rows] = before & ~self._ended(reached)
        shots = self._draw(np.flatnonzero(before), reached)
        if isinstance(self._world, BatchedEnv):  # ended episodes are dropped; in JAX they stay,
            alive = self.running[rows]  # as each number of rows would need a compilation
            self._rows, self._state = rows[alive], jax.tree.map(lambda x: x[alive], self._state)
        return shots

    def _move(self) -> None:
        keys = _keys(self._samples)
        action = self._policy.act(keys, self._recent.seen, self._goal_input)[self._rows]
        if isinstance(self._world, BatchedEnv):
            self._state = self._world.step(self._state, action)
        else:
            self._state = self._world.step(_keys(self._random), self._state, action)
        self._steps += 1

    def _ended(self, reached: np.ndarray) -> np.ndarray:
        """Whether the episode of each row of the state is over."""
        ended = reached & self._task.terminates_on_success
        if isinstance(self._world, BatchedEnv) and self._world.ending is not None:
            ended = ended | self._world.ending(self._state).any
        return ended | (self._steps >= self._task.horizon)

    def _draw(self, rows: np.ndarray, reached: np.ndarray) -> list[TileUpdate]:
        """Draw the episodes in these rows of the state."""
        state, shots = jax.tree.map(np.asarray, self._state), []
        for row in rows.tolist():
            episode = int(self._rows[row])
            one = jax.tree.map(lambda x, row=row: x[row], state)
            image = self._world.render(one, self._goal[episode])
            standing = "reached" if reached[row] else "failed"
            standing = "running" if self.running[episode] else standing
            shots.append(TileUpdate(self._tiles[episode], image, standing))
        return shots


def _keys(sources: Sequence[np.random.Generator]) -> np.ndarray:
    """A key for each episode, drawn as in ``GoalEnv``."""
    keys = [random.integers(2**32, size=2, dtype=np.uint32) for random in sources]
    return np.stack(keys)


def _samples(seed: int) -> np.random.Generator:
    """What an episode's actions are drawn by, if its policy samples; its world has its own."""
    return np.random.default_rng((seed, 1))


def _open(run_dir: str | Path | Run, seed: int, trust: bool) -> Playback:
    require(seed >= 0, f"seed must be at least 0, not {seed}")
    run = run_dir if isinstance(run_dir, Run) else Run(Path(run_dir), trust)
    policy = run.policy
    module = run.experiment.module("env")
    make = getattr(module, "film", module.make)  # external ones are made differently for drawing

    def fitting() -> JaxEnv | BatchedEnv:
        env = make(run.experiment.env_config)
        policy.require_fit(env.task)
        return env

    return Playback(policy, fitting)


def _groups(scene: Playback, episodes: int, seed: int) -> list[BatchedPlayback]:
    """All episodes in one group, or in several if an environment cannot run so many at once."""
    env = scene.make()
    limit = env.max_num_envs if isinstance(env, BatchedEnv) else None
    size = min(episodes, limit or episodes)
    parts = [range(episodes)[first : first + size] for first in range(0, episodes, size)]
    envs = [env, *(scene.make() for _ in parts[1:])]
    return [
        BatchedPlayback(env, scene.policy, tiles, seed)
        for env, tiles in zip(envs, parts, strict=True)
    ]
