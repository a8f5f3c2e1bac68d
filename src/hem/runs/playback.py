"""A policy at work, as frames of a video: one episode after the other, or many side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium.utils.seeding import np_random

from hem import registry
from hem.envs.gym_env import GoalEnv, batched, policy_goal
from hem.errors import require
from hem.models.frame_stack import Recent
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.policy_file import load_policy
from hem.runs.run import Run
from hem.types import Simulator, World
from hem.viz.grid import EpisodeStatus, Layout, VideoGrid

PAUSE = 6  # frames on the last state of an episode, so that its end can be seen
END = 12  # frames on the last state of many, of which more is to be seen

Done = Callable[[float], Any]  # is told the share of the work that is done, 0 to 1


class Playback(NamedTuple):
    """What a video is made of."""

    policy: LoadedPolicy
    make: Callable[[], World | Simulator]


class TileUpdate(NamedTuple):
    """An episode after its latest step."""

    tile: int
    picture: np.ndarray  # u8[H, W, 3]
    standing: EpisodeStatus


def frames(
    run_dir: str | Path,
    episodes: int = 5,
    seed: int = 0,
    trust: bool = False,
    done: Done = lambda share: None,
) -> Iterator[np.ndarray]:
    """Images u8[H, W, 3] of a run's policy, greedy, one a step, episode after episode.

    Args:
        run_dir: the run's folder.
        episodes: how many.
        seed: of the first one; the others follow it.
        trust: run the code of an environment that the run's configuration names.
        done: told the share of the episodes that was drawn.
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    scene = _open(run_dir, seed, trust)
    env = GoalEnv(scene.make(), render_mode="rgb_array")
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        frame = env.render()
        yield frame
        ended, steps = False, 0
        while not ended:
            seen = (observation[key][None] for key in ("observation", "desired_goal"))
            action = scene.policy.greedy(*seen)[0]
            observation, _, terminated, truncated, _ = env.step(action)
            ended, steps = terminated or truncated, steps + 1
            frame = env.render()
            done((episode + steps / env.task.horizon) / episodes)
            yield frame
        yield from [frame] * PAUSE


def side_by_side(
    run_dir: str | Path,
    where: Layout,
    seed: int = 0,
    trust: bool = False,
    done: Done = lambda share: None,
) -> Iterator[np.ndarray]:
    """Images u8[H, W, 3] of as many episodes as there are tiles, all at once, one a step.

    A tile whose episode has ended stays as it is, and shows whether the goal was reached. Tile i
    begins as episode i of ``frames`` does.

    Args:
        run_dir: the run's folder.
        where: the tiles.
        seed: of the first one's episode; the others follow it.
        trust: run the code of an environment that the run's configuration names.
        done: told the share of the longest possible episode that was drawn.
    """
    scene = _open(run_dir, seed, trust)
    groups = _groups(scene, where.tiles, seed)
    shots = [shot for group in groups for shot in group.shots]
    mosaic = VideoGrid(where, shots[0].picture.shape)
    while True:
        for shot in shots:
            mosaic.put(*shot)
        frame = mosaic.picture()
        yield frame
        if not any(group.running.any() for group in groups):
            break
        shots = [shot for group in groups for shot in group.step()]
        done(max(group.share for group in groups))
    yield from [frame] * END


class BatchedPlayback:
    """Episodes that go on side by side, each until it ends."""

    def __init__(
        self, world: World | Simulator, policy: LoadedPolicy, tiles: Sequence[int], seed: int
    ) -> None:
        """Begin them.

        Args:
            world: where they happen.
            policy: who acts.
            tiles: theirs, one for each.
            seed: of the episode in tile 0; the others follow it.
        """
        self._world: Any = batched(world)
        self._task, self._policy, self._tiles = world.task, policy, tiles
        self._random = [np_random(seed + tile)[0] for tile in tiles]
        self._state, goal = self._world.reset(self._keys())
        self._goal_input, self._goal = np.asarray(policy_goal(world, goal)), np.asarray(goal)
        self._obs = np.array(self._world.observe(self._state)[0])
        self._recent = Recent(self._task.frames, self._obs)
        self._rows = np.arange(len(tiles))  # the episodes that the state is of
        self._steps = 0
        self.running = np.ones(len(tiles), bool)
        self.shots = self._draw(self._rows, np.zeros(len(tiles), bool))

    @property
    def share(self) -> float:
        """Steps taken, of the most there can be."""
        return self._steps / self._task.horizon

    def step(self) -> list[TileUpdate]:
        """Take a step in each episode that has not ended, and show those."""
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
        if isinstance(self._world, Simulator):  # what has ended is not simulated; else it may be,
            alive = self.running[rows]  # for each number of rows would have to be compiled
            self._rows, self._state = rows[alive], jax.tree.map(lambda x: x[alive], self._state)
        return shots

    def _move(self) -> None:
        action = self._policy.greedy(self._recent.seen, self._goal_input)[self._rows]
        if isinstance(self._world, Simulator):
            self._state = self._world.step(self._state, action)
        else:
            self._state = self._world.step(self._keys(), self._state, action)
        self._steps += 1

    def _ended(self, reached: np.ndarray) -> np.ndarray:
        """Whether the episode of each row of the state is over."""
        ended = reached & self._task.terminates_on_success
        if isinstance(self._world, Simulator) and self._world.ending is not None:
            ended = ended | self._world.ending(self._state).any
        return ended | (self._steps >= self._task.horizon)

    def _draw(self, rows: np.ndarray, reached: np.ndarray) -> list[TileUpdate]:
        """Show the episodes of these rows of the state."""
        state, shots = jax.tree.map(np.asarray, self._state), []
        for row in rows.tolist():
            episode = int(self._rows[row])
            one = jax.tree.map(lambda x, row=row: x[row], state)
            picture = self._world.draw(one, self._goal[episode])
            standing = "reached" if reached[row] else "failed"
            standing = "running" if self.running[episode] else standing
            shots.append(TileUpdate(self._tiles[episode], picture, standing))
        return shots

    def _keys(self) -> np.ndarray:
        """A key for each episode, from where ``GoalEnv`` would take it."""
        keys = [random.integers(2**32, size=2, dtype=np.uint32) for random in self._random]
        return np.stack(keys)


def _open(run_dir: str | Path, seed: int, trust: bool) -> Playback:
    require(seed >= 0, f"seed must be at least 0, not {seed}")
    run = Run(Path(run_dir), trust)
    policy = load_policy(run_dir)
    module = registry.load("environment", run.experiment.env)
    make = getattr(module, "film", module.make)  # not ours: made differently where it has to draw

    def fitting() -> World | Simulator:
        world = make(run.experiment.env_config)
        policy.require_fit(world.task)
        return world

    return Playback(policy, fitting)


def _groups(scene: Playback, episodes: int, seed: int) -> list[BatchedPlayback]:
    """All episodes in one group, or in several where a world does not take so many."""
    world = scene.make()
    limit = world.max_num_envs if isinstance(world, Simulator) else None
    size = min(episodes, limit or episodes)
    parts = [range(episodes)[first : first + size] for first in range(0, episodes, size)]
    worlds = [world, *(scene.make() for _ in parts[1:])]
    return [
        BatchedPlayback(world, scene.policy, tiles, seed)
        for world, tiles in zip(worlds, parts, strict=True)
    ]
