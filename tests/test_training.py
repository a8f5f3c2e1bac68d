"""Saving a run: what is left however often and wherever it is cut off."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from disk import Killed, killed_before
from envs.gymnasium import toys
from running import FLIP, TINY, kept

import hem
from hem import api, training
from hem.experiment import Experiment, experiment
from hem.files import write_text
from hem.loop import Counters, Step, init_state, iterations
from hem.run_folder import CONFIG

REACH = TINY | {
    "horizon": 6, "workers": 0, "strategy": "future", "threshold": 0.15, "slots": 4,
    "eval_every": 48, "eval_episodes": 4, "env_steps": 90,
}  # fmt: skip
WORLDS = [("FlipBit", FLIP | {"env_steps": 80}), (f"{toys.__file__}:Reach", REACH)]


class Played(NamedTuple):
    """A run, learnt once, that may be saved again and again."""

    what: Experiment
    steps: list[Step]

    def go(self, folder: Path) -> None:
        """Train the run, or go on with it."""
        if (folder / CONFIG).exists():
            hem.resume(folder, trust=True)
        else:
            with api.new_run(self.what, folder) as run:
                training.train(run, quiet=True)


@pytest.fixture(scope="module", params=WORLDS, ids=["world", "foreign"])
def learnt(request) -> Played:
    env, settings = request.param
    what = experiment(env, **settings)
    world, algorithm = what.build()
    state = init_state(world.task, algorithm, what.run.seed, what.run.capacity)
    steps = []
    for step in iterations(world, algorithm, what.run, state, Counters()):
        copied = jax.tree.map(np.array, step.state)  # the next iteration takes the arrays
        steps.append(step._replace(state=jax.tree.map(jnp.asarray, copied)))
    return Played(what, steps)


@pytest.fixture
def played(learnt, monkeypatch) -> Played:
    """Learning takes no time here: what is left are the files."""
    built = learnt.what.build()

    def again(world, algorithm, config, state, counters, should_stop):
        return (step for step in learnt.steps if step.counters.iteration > counters.iteration)

    monkeypatch.setattr(Experiment, "build", lambda self: built)
    monkeypatch.setattr(training, "iterations", again)
    monkeypatch.setattr(training.plot, "curves", lambda runs, out: write_text(out, "a curve"))
    return learnt


def test_a_kill_between_any_two_changes_of_files_leaves_the_same_run(played, tmp_path):
    with killed_before(tmp_path, 10**9) as changes:
        played.go(tmp_path / "whole")
    whole = kept(tmp_path / "whole")
    assert {"policy.safetensors", "policy.json", "checkpoints/best.json"} <= set(whole)
    for n in range(changes[0]):
        folder = tmp_path / str(n)
        with pytest.raises(Killed), killed_before(tmp_path, n):
            played.go(folder)
        played.go(folder)
        assert kept(folder) == whole, n


def test_so_does_a_kill_while_it_goes_on_after_a_kill(played, tmp_path):
    with killed_before(tmp_path, 10**9) as changes:
        played.go(tmp_path / "whole")
    whole = kept(tmp_path / "whole")
    for n in range(changes[0] // 3, changes[0], 7):
        for m in (2, 5, 9, 16):
            folder = tmp_path / f"{n}-{m}"
            for allowed in (n, m):
                with suppress(Killed), killed_before(tmp_path, allowed):
                    played.go(folder)
            played.go(folder)
            assert kept(folder) == whole, (n, m)
