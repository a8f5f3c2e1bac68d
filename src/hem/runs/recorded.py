"""A run's episodes as a Minari dataset: of its policy, or of its replay buffer."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from gymnasium.envs.registration import EnvSpec

from hem import registry
from hem.demos import library, writing
from hem.demos.reading import require_readable
from hem.envs.adapters.arguments import read_kwargs
from hem.errors import require, within_memory
from hem.replay import buffer as ring
from hem.runs import beginning
from hem.runs.experiment import Experiment
from hem.runs.policy_episodes import actor, collected
from hem.runs.provenance import provenance
from hem.runs.run import Run
from hem.system.conversion import checked
from hem.training.evaluation import outcome
from hem.training.learning import RECORD, rng_key
from hem.types import Algorithm, BatchedEnv, Episodes, JaxEnv


class Exported(NamedTuple):
    """What was written."""

    name: str
    folder: Path  # of the dataset
    episodes: int
    steps: int
    success_rate: float


@checked
@within_memory()
def export_minari(
    run_dir: str | Path,
    name: str,
    episodes: int | None = None,
    replay: bool = False,
    explore: bool = False,
    seed: int = 0,
    trust: bool = False,
    env: Any = None,
    algo: Any = None,
    strategy: Any = None,
) -> Exported:
    """Write episodes of a run as a Minari dataset on this machine.

    Args:
        run_dir: the run's folder.
        name: of the new dataset, with a version: ``push/demo-v0``.
        episodes: number of episodes of the best policy so far, which acts as in its evaluation;
            100 by default.
        replay: write the episodes of the latest checkpoint's replay buffer instead, oldest first.
        explore: act as in training, with the latest policy and its exploration noise.
        seed: seed of the episodes, which occur neither in training nor in evaluations.
        trust: allow environment code that the run's configuration names.
        env: as in ``hem.resume``.
        algo: likewise.
        strategy: likewise.

    Raises:
        UserError: bad input, or the dataset cannot be written; then nothing is left of it.
    """
    require(not (replay and explore), "replay exports what was stored: leave out explore")
    require(not (replay and episodes), "replay exports every stored episode: leave out episodes")
    count = 100 if episodes is None else episodes
    require(count >= 1, f"episodes must be at least 1, not {count}")
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32), not {seed}")
    library.require_minari()
    writing.check_name(name)
    run = Run(run_dir, trust, {"env": env, "algo": algo, "strategy": strategy})
    built, algorithm = run.experiment.build()
    require_readable(built.task)
    if replay:
        found = _stored(run, algorithm, built)
    else:
        found = _collected(run, algorithm, built, count, seed, explore)
    length = np.asarray(found.length)
    require(bool((length > 0).any()), f"{run.folder} has no episodes to export")
    found = jax.tree.map(lambda x: np.asarray(x)[length > 0], found)
    rate = float(np.mean(outcome(built.task, found).success))
    source = "replay buffer" if replay else "exploring policy" if explore else "policy"
    about = _about(run, source, seed, rate)
    folder = writing.write(name, found, built.task, _spec(run.experiment), about)
    return Exported(name, folder, len(found.length), int(found.length.sum()), rate)


def _stored(run: Run, algorithm: Algorithm, env: JaxEnv | BatchedEnv) -> Episodes:
    """The episodes in the replay buffer, oldest first, after those that are kept."""
    replays = [state.replay for state in beginning.stored(run, algorithm, env.task)]
    whole = all(map(ring.is_whole, replays))
    require(whole, f"the latest checkpoint of {run.folder} is damaged")
    total = sum(int(replay.size) for replay in replays)
    return ring.dealt(replays, 1, total)[0].data


def _collected(
    run: Run,
    algorithm: Algorithm,
    env: JaxEnv | BatchedEnv,
    count: int,
    seed: int,
    explore: bool,
) -> Episodes:
    """New episodes, which end as in training."""
    if explore:
        act, state = algorithm.act, beginning.stored(run, algorithm, env.task)[0].agent_state
    else:
        act, state = actor(run, env.task)
    key, ends = rng_key(seed, RECORD), env.task.terminates_on_success
    parts = list(collected(env, act, state, key, count, explore=explore, ends=ends))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _about(run: Run, source: str, seed: int, success_rate: float) -> dict[str, Any]:
    """The dataset's metadata."""
    experiment, version = run.experiment, provenance()["versions"]["hindsight-em"]
    made = {"env": experiment.env, "source": source, "seed": seed, "success_rate": success_rate}
    return {
        "algorithm_name": experiment.algo,
        "description": f"Episodes in {experiment.env}, from the {source} of a run of hem with "
        f"--algo {experiment.algo}. A reward is 1 if the goal is achieved after a step, else 0.",
        "hem": {"version": version, "settings": experiment.to_json(), **made},
    }


def _spec(experiment: Experiment) -> EnvSpec | None:
    """How Gymnasium makes the run's environment; None if no ID stands for it."""
    config, module = experiment.env_config, experiment.module("env")
    if experiment.env in registry.own("environment") and "env" not in experiment.objects:
        spec = copy.deepcopy(gymnasium.spec(registry.gymnasium_id(experiment.env)))
        defaults = dataclasses.asdict(module.Config())
        values = dataclasses.asdict(config).items()
        spec.kwargs |= {name: value for name, value in values if value != defaults[name]}
        return spec
    origin = getattr(module, "origin", None)
    if origin is None or origin.kind != "gymnasium":
        return None
    try:
        spec = copy.deepcopy(gymnasium.spec(origin.full))
    except gymnasium.error.Error:  # a class or function of a module
        return None
    spec.kwargs |= read_kwargs(config.env_kwargs)
    spec.max_episode_steps = config.horizon or spec.max_episode_steps
    return spec
