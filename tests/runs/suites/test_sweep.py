"""Sweeps: what is drawn, who goes on, and that nothing is repeated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import called
from scipy.stats import chisquare, kstest, loguniform, randint, uniform

from hem.errors import UserError
from hem.runs.suites.execute import Result
from hem.runs.suites.samplers import SAMPLERS, Optuna, Random
from hem.runs.suites.sweep import markdown, run_sweep
from hem.runs.suites.sweep_file import Choices, Range, Sweep, read_sweep

SPACE = {
    "learning_rate": Range(1e-4, 1e-2, log=True, is_integer=False),
    "random_eps": Range(0.0, 0.5, log=False, is_integer=False),
    "batch_size": Range(8, 11, log=False, is_integer=True),
    "hidden_dims": Choices([[8], [16, 16]]),
}
BASE = {"env": "FlipBit", "bits": 4, "env_steps": 400, "eval_interval": 50}


def test_random_draws_have_the_distributions_that_the_file_asks_for():
    drawn = Random(SPACE, 0).ask(range(2000))
    of = {name: [settings[name] for settings in drawn] for name in SPACE}
    assert kstest(of["learning_rate"], loguniform(1e-4, 1e-2).cdf).pvalue > 0.001
    assert kstest(of["random_eps"], uniform(0, 0.5).cdf).pvalue > 0.001
    counts = Counter(of["batch_size"])
    assert sorted(counts) == [8, 9, 10, 11]
    assert chisquare(list(counts.values()), 2000 * randint(8, 12).pmf(list(counts))).pvalue > 0.001
    assert chisquare(list(Counter(map(str, of["hidden_dims"])).values())).pvalue > 0.001


def test_a_random_trial_follows_from_its_number():
    sampler = Random(SPACE, 3)
    assert sampler.ask([5, 2]) == [*sampler.ask([5]), *Random(SPACE, 3).ask([2])]
    assert sampler.ask([5]) != Random(SPACE, 4).ask([5])


def test_optuna_learns_from_what_it_is_told():
    space = {"x": Range(0.0, 1.0, log=False, is_integer=False), "c": Choices(["a", "b"])}
    sampler = Optuna(space, 0)
    asked = []
    for number in range(60):
        (settings,) = sampler.ask([number])
        asked.append(settings)
        sampler.tell(settings, -((settings["x"] - 0.3) ** 2) - (settings["c"] == "a"))
    late = asked[30:]
    assert np.mean([abs(s["x"] - 0.3) for s in late]) < 0.15  # at random 0.29
    assert Counter(s["c"] for s in late)["b"] > 20


class Pretended:
    """An engine that trains nothing: success follows from the learning rate and the budget."""

    name, at_once = "pretended", 4

    def __init__(self) -> None:
        self.trained: list[tuple[str, int]] = []

    def __enter__(self) -> Pretended:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def results(self, runs, retries):
        for run in runs:
            steps = run.settings["env_steps"]
            self.trained.append((run.variant, steps))
            success = max(0.0, 1 - abs(np.log10(run.settings["learning_rate"]) + 3)) * steps / 400
            run.folder.mkdir(parents=True, exist_ok=True)
            row = {"iteration": 1, "env_steps": steps, "wall_s": 1.0, "eval/success_rate": success}
            (run.folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
            yield run, Result(None, 1.0)


def sweep(**changed: Any) -> Sweep:
    space = {"learning_rate": SPACE["learning_rate"], "batch_size": SPACE["batch_size"]}
    return Sweep(BASE, space, 8, "random", 0)._replace(**changed)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_better_halves_go_on(tmp_path, sampler):
    engine = Pretended()
    trials = run_sweep(sweep(sampler=sampler), "f", tmp_path, engine, quiet=True)
    assert Counter(steps for _, steps in engine.trained) == {100: 8, 200: 4, 400: 2}
    assert sorted(trial.number for trial in trials) == list(range(8))
    goodness = [abs(np.log10(trial.settings["learning_rate"]) + 3) for trial in trials]
    assert goodness == sorted(goodness)  # the best first, of each stage and of all
    assert [trial.share for trial in trials] == [1.0] * 2 + [0.5] * 2 + [0.25] * 4
    assert markdown(trials).splitlines()[2].startswith(f"| {trials[0].number} | 100% | ")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sweep_that_is_started_again_has_the_same_trials(tmp_path, sampler):
    first = run_sweep(sweep(sampler=sampler), "f", tmp_path, Pretended(), quiet=True)
    again = run_sweep(sweep(sampler=sampler), "f", tmp_path, Pretended(), quiet=True)
    assert again == first
    more = run_sweep(sweep(sampler=sampler, trials=10), "f", tmp_path, Pretended(), quiet=True)
    settings = {trial.number: trial.settings for trial in more}
    assert all(settings[trial.number] == trial.settings for trial in first)


def test_settings_that_cannot_be_are_named(tmp_path):
    with pytest.raises(UserError, match=r"f, trial-0000: .*bits"):
        run_sweep(sweep(base=BASE | {"bits": 0}), "f", tmp_path, Pretended(), quiet=True)


GOOD = '[base]\nenv = "FlipBit"\nenv_steps = 100\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{GOOD}[search]\n", "names no setting"),
        ('[base]\nenv = "FlipBit"\n[search]\nbits = [1]\n', "give env_steps"),
        (f"{GOOD}[search]\nbits = []\n", "no values"),
        (f"{GOOD}[search]\nbits = {{ low = 4, high = 4 }}\n", "low below high"),
        (f"{GOOD}[search]\ngamma = {{ low = 0.1, high = nan }}\n", "low below high"),
        (f"{GOOD}[search]\ngamma = {{ low = 0, high = 1, log = true }}\n", "low must be above 0"),
        (f"{GOOD}[search]\ngamma = {{ low = 0.1, hihg = 1 }}\n", "hihg"),
        (f"{GOOD}[search]\nseed = [1, 2]\n", "seed cannot be searched"),
        (f'sampler = "grid"\n{GOOD}[search]\nbits = [1]\n', "sampler"),
        (f"trials = 0\n{GOOD}[search]\nbits = [1]\n", "trials must be at least 1"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_in_one_line(tmp_path: Path, text: str, said: str):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_sweep(file)
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--retries", "-1"], "retries must be at least 0"),
        (["--success", "1.5"], "success must be above 0"),
        (["--cores", "0"], "cores must be at least 1"),
        (["--out", "/dev/null/out"], "cannot write to /dev/null/out"),
    ],
)
def test_a_suite_that_cannot_begin_is_refused_in_one_line(tmp_path: Path, words, said):
    (tmp_path / "suite.toml").write_text(GOOD)
    done = called("suite", tmp_path / "suite.toml", "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_sweep_that_cannot_write_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="cannot write to"):
        run_sweep(sweep(), "f", Path("/dev/null/out"), Pretended(), quiet=True)
