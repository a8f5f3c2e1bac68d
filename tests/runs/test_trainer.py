"""Saving a run: what is left however often and wherever it is cut off."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from disk import Killed, killed_before
from running import FLIP, TINY, kept, rows, without_clock

import hem
from hem import api
from hem.errors import EnvError
from hem.runs import checkpoint, state_file, trainer
from hem.runs.experiment import Experiment, make_experiment
from hem.runs.run_folder import CONFIG
from hem.system.atomic_io import write_text
from hem.training import workers
from hem.training.learning import init_state
from hem.training.loop import Counters, Step, iterations
from hem.training.workers import ONE

REACH = TINY | {
    "horizon": 6, "env_workers": 0, "strategy": "future", "threshold": 0.15, "slots": 4,
    "eval_interval": 48, "eval_episodes": 4, "env_steps": 90,
}  # fmt: skip
WORLDS = [("FlipBit", FLIP | {"env_steps": 80}), (f"{toys.__file__}:Reach", REACH)]


class Played(NamedTuple):
    """A run, learned once, that may be saved again and again."""

    env: str
    settings: dict[str, Any]
    steps: list[Step]

    def go(self, folder: Path) -> None:
        """Train the run, or go on with it."""
        if (folder / CONFIG).exists():
            hem.resume(folder, trust=True)
        else:
            hem.train(self.env, run_dir=folder, **self.settings)


@pytest.fixture(scope="module", params=WORLDS, ids=["env", "foreign"])
def learned(request) -> Played:
    env, settings = request.param
    experiment = make_experiment(env, **settings)
    built, algorithm = experiment.build()
    state = init_state(built.task, algorithm, experiment.run.seed, experiment.run.buffer_episodes)
    steps = []
    for step in iterations(built, algorithm, experiment.run, state, Counters()):
        copied = jax.tree.map(np.array, step.state)  # the next iteration takes the arrays
        steps.append(step._replace(state=jax.tree.map(jnp.asarray, copied)))
    return Played(env, settings, steps)


@pytest.fixture
def played(learned, monkeypatch) -> Played:
    """Learning takes no time here: what is left are the files."""
    built = make_experiment(learned.env, **learned.settings).build()

    def again(built, algorithm, config, state, counters, *rest):
        return (step for step in learned.steps if step.counters.iteration > counters.iteration)

    monkeypatch.setattr(Experiment, "build", lambda self: built)
    monkeypatch.setattr(trainer, "iterations", again)
    monkeypatch.setattr(trainer.plot, "curves", lambda runs, out: write_text(out, "a curve"))
    return learned


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


STOPS = [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 128 + 15)]


@pytest.fixture
def signalled(played, monkeypatch):
    """``signalled(number)``: from now on the signal comes with the second iteration."""
    again = trainer.iterations

    def arm(number: int) -> None:
        def iterations(*args):
            for count, step in enumerate(again(*args), 1):
                if count == 2:
                    signal.raise_signal(number)
                yield step

        monkeypatch.setattr(trainer, "iterations", iterations)

    return arm


@pytest.mark.parametrize(("number", "error", "code"), STOPS)
def test_a_signal_saves_and_then_does_what_it_does_in_python(
    played, signalled, tmp_path, number, error, code
):
    played.go(tmp_path / "whole")
    handlers = [signal.getsignal(one) for one, _, _ in STOPS]
    signalled(number)
    for done in (2, 4):  # by train, and by resume
        with pytest.raises(error) as stopped:
            played.go(tmp_path / "run")
        assert getattr(stopped.value, "code", None) == code
        assert f"hem.resume({str(tmp_path / 'run')!r}" in stopped.value.__notes__[0]
        assert rows(tmp_path / "run")[-1]["iteration"] == done
        latest = checkpoint.listed(tmp_path / "run" / "checkpoints")[-1]
        assert int(latest.name) == done
        assert [signal.getsignal(one) for one, _, _ in STOPS] == handlers
    with suppress(error):
        played.go(tmp_path / "run")
    assert without_clock(tmp_path / "run") == without_clock(tmp_path / "whole")


def test_a_handler_of_ones_own_hears_of_the_signal(played, signalled, tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    try:
        signalled(signal.SIGTERM)
        with pytest.raises(SystemExit):
            played.go(tmp_path / "run")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [True]
    assert rows(tmp_path / "run")


def test_a_run_in_a_thread_takes_no_signals(played, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(played.go, tmp_path / "run").result()
    assert len(rows(tmp_path / "run")) == len(played.steps)


@pytest.fixture(params=[*WORLDS, ("batched", WORLDS[0][1])], ids=["env", "foreign", "batched"])
def real(request, monkeypatch, as_batched_env) -> Played:
    """A run that learns again each time."""
    env, settings = request.param
    if env == "batched":
        env, build = "FlipBit", Experiment.build

        def simulated(experiment: Experiment):
            built, algorithm = build(experiment)
            return as_batched_env(built), algorithm

        monkeypatch.setattr(Experiment, "build", simulated)
    return Played(env, settings, [])


@pytest.mark.parametrize("how", ["signal", "failure"])
@pytest.mark.parametrize("cut", ["evaluations", "collections"])
def test_a_run_that_is_cut_off_wherever_it_can_be_is_the_run_that_never_was(
    real, tmp_path, monkeypatch, cut, how
):
    real.go(tmp_path / "whole")
    whole, met, cuts = kept(tmp_path / "whole"), set(), []
    make = workers.collector

    def collector(built, act, n, explore, *options):
        collect = make(built, act, n, explore, *options)

        def cut_at_first(key, agent_state, first):
            if explore == (cut == "collections") and int(first) not in met:
                met.add(int(first))
                if how == "failure":
                    raise EnvError("broken")
                signal.raise_signal(signal.SIGINT)
            return collect(key, agent_state, first)

        return cut_at_first

    monkeypatch.setattr(workers, "collector", collector)
    while len(cuts) <= 20:
        try:
            real.go(tmp_path / "cut")
            break
        except (EnvError, KeyboardInterrupt) as error:
            cuts.append(error)
    assert len(cuts) == len(met) > 1
    found = kept(tmp_path / "cut")
    if cut == "collections":  # each cut also saved a checkpoint: of those only the last is compared
        for run in (found, whole):
            for name in sorted(n for n in run if n.startswith("checkpoints/0"))[:-2]:
                del run[name]
    assert found == whole


def test_saving_compiles_nothing_and_copies_no_replay(learned, tmp_path, monkeypatch, caplog):
    experiment = make_experiment(learned.env, **learned.settings)
    built, algorithm = experiment.build()
    seen, write = [], state_file.write_arrays
    monkeypatch.setattr(
        state_file, "write_arrays", lambda path, arrays: (seen.append(arrays), write(path, arrays))
    )
    filled = [int(step.state.replay.size) for step in learned.steps]
    assert len(set(filled)) > 3
    with api.new_run(experiment, tmp_path / "run") as run, jax.log_compiles():
        for step in learned.steps:
            trainer._save(run, algorithm, built.task, step, ONE)
    assert "ompil" not in caplog.text
    for step, size, arrays in zip(learned.steps, filled, seen, strict=True):
        stored = arrays[".replay.data.obs"]
        assert len(stored) == size
        assert stored.ctypes.data == step.state.replay.data.obs.unsafe_buffer_pointer()
