"""Where a run goes on from: its latest checkpoint or, if there is none, the very beginning.

Recorded episodes are read once, at the very beginning. From then on, checkpoints hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hem.demos import reading
from hem.demos.reading import Recorded
from hem.errors import NotStartedError, UserError, require
from hem.replay import buffer as ring
from hem.runs import checkpoint
from hem.runs.manifest import Dataset
from hem.runs.run import Run
from hem.system.compile_cache import jit
from hem.training.learning import TrainState, init_state
from hem.training.loop import Step
from hem.training.schedule import Counters, RunConfig
from hem.training.workers import Workers
from hem.types import Algorithm, Array, Episodes, Task


def begin(run: Run, algorithm: Algorithm, task: Task, workers: Workers) -> tuple[Step, list[str]]:
    """The step to go on from, and messages for the user.

    Raises:
        NotStartedError: the dataset that the run begins with cannot be used.
        UserError: no checkpoint can be used.
    """
    if checkpoint.listed(run.folder / "checkpoints"):
        return _latest(run, algorithm, task, workers)
    config = run.experiment.run
    init = jit(_init_of(task, algorithm, config), static_argnums=1)
    state = workers.same(init(jnp.uint32(config.seed), workers.count))
    name, notes = config.demos or config.offline, []
    if name is not None:
        try:
            recorded = reading.read(name, task, _room(config, workers.count))
            _record(run, name, recorded)
            shares = _shares(recorded.episodes, workers)
        except UserError as error:
            raise NotStartedError(str(error)) from error
        notes = recorded.notes
        state = workers.map(partial(with_episodes, algorithm))(state, shares)
    return Step(state, Counters(), {}), notes


def with_episodes(algorithm: Algorithm, state: TrainState, episodes: Episodes) -> TrainState:
    """The state of a run whose replay buffer begins with these episodes; pure."""
    replay = ring.add(state.replay, episodes)
    replay = replay if replay.kept is None else ring.keep_all(replay)
    return state._replace(replay=replay, agent_state=algorithm.observe(state.agent_state, episodes))


def stored(run: Run, algorithm: Algorithm, task: Task) -> list[TrainState]:
    """The state of each worker in the latest checkpoint.

    Raises:
        UserError: there is none, or none can be used.
    """
    folder = run.folder / "checkpoints"
    require(bool(checkpoint.listed(folder)), f"{run.folder} has no checkpoint yet: wait for one")

    def load(path: Path) -> list[TrainState]:
        return [state for state, _ in _parts(run, algorithm, task, path)]

    return checkpoint.load_latest(folder, load)[0]


def _init_of(
    task: Task, algorithm: Algorithm, config: RunConfig
) -> Callable[[Array, int], TrainState]:
    """(seed, count) -> the state of one of ``count`` workers before the first iteration."""

    def init(seed: Array, count: int) -> TrainState:
        capacity, keeps = config.buffer_episodes // count, config.demos is not None
        return init_state(task, algorithm, seed, capacity, keeps)

    return init


def _latest(run: Run, algorithm: Algorithm, task: Task, workers: Workers) -> tuple[Step, list[str]]:
    """The step to resume from, and messages about checkpoints that cannot be used."""
    config, folder = run.experiment.run, run.folder / "checkpoints"

    def load(path: Path) -> tuple[TrainState, Counters]:
        if len(checkpoint.read_meta(path, Counters).sha256) == workers.count:
            mine = _parts(run, algorithm, task, path, workers.mine)
            return workers.place_each([state for state, _ in mine]), mine[0][1]
        parts = _parts(run, algorithm, task, path)
        state, counters = parts[0]
        replays = [state.replay for state, _ in parts]
        if not all(map(ring.is_whole, replays)):
            raise checkpoint.BadCheckpoint("its replay buffer has impossible counters")
        require(
            sum(int(replay.kept or 0) for replay in replays) <= _room(config, workers.count),
            f"{workers.count} workers leave no room for the demonstrations of {run.folder}: "
            f"continue with --workers {len(parts)}",
        )
        shares = ring.dealt(replays, workers.count, config.buffer_episodes // workers.count)
        mine = [state._replace(replay=shares[w]) for w in workers.mine]
        return workers.place_each(mine), counters

    (state, counters), complaints = checkpoint.load_latest(folder, load, workers)
    require(
        workers.one(state.iteration) == counters.iteration < 2**31 // config.episodes_per_iteration,
        f"the checkpoints in {folder} are damaged: the counters do not match the arrays",
    )
    if complaints:
        complaints.append(
            f"resuming from iteration {counters.iteration}, which is intact; what is not usable is "
            f"put aside in {folder}, and removed once training has passed it"
        )
    return Step(state, counters, {}), complaints


def _parts(
    run: Run, algorithm: Algorithm, task: Task, path: Path, workers: list[int] | None = None
) -> list[tuple[TrainState, Counters]]:
    """What a checkpoint holds of these workers; by default of all.

    Raises:
        BadCheckpoint: it cannot be used.
    """
    config, count = run.experiment.run, len(checkpoint.read_meta(path, Counters).sha256)
    if count > config.buffer_episodes:
        raise checkpoint.BadCheckpoint(f"it is of {count} workers, more than the run can have")
    init = _init_of(task, algorithm, config)
    template = jax.eval_shape(lambda seed: init(seed, count), jnp.uint32(config.seed))
    asked = range(count) if workers is None else workers
    return [checkpoint.load(path, template, Counters, worker) for worker in asked]


def _room(config: RunConfig, count: int) -> int:
    """How many episodes a run may begin with: it must also hold what an iteration collects."""
    collected = 0 if config.offline is not None else config.episodes_per_iteration
    return count * ((config.buffer_episodes - collected) // count)


def _record(run: Run, name: str, recorded: Recorded) -> None:
    """Have the configuration say what the run began with.

    Raises:
        UserError: it began with something else, before it was cut off.
    """
    length, earlier = recorded.episodes.length, run.config["dataset"]
    require(
        earlier is None or earlier.sha256 == recorded.sha256,
        f"the Minari dataset {name} has changed since {run.folder} began: restore it, or train in "
        "a new --run-dir",
    )
    run.config["dataset"] = Dataset(
        name, str(recorded.path), recorded.sha256, len(length), int(np.sum(length))
    )


def _shares(episodes: Episodes, workers: Workers) -> Episodes:
    """The episodes dealt to all workers, with those of length 0 where they are not even.

    Raises:
        UserError: there are fewer than workers.
    """
    n, count = len(episodes.length), workers.count
    require(n >= count, f"{n} episodes are too few for {count} workers: give --workers {n} or less")
    missing = -n % count

    def share(x: np.ndarray, worker: int) -> np.ndarray:
        return np.concatenate([x, np.zeros_like(x[:missing])])[worker::count]

    return workers.place_each(
        [jax.tree.map(lambda x, w=w: share(x, w), episodes) for w in workers.mine]
    )
