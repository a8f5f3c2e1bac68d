"""Sweeps: what is drawn, who goes on, and that nothing is repeated."""

from __future__ import annotations

import itertools
import json
import shlex
from collections import Counter
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import called, rows
from scipy.stats import chisquare, kstest, loguniform, randint, uniform

from hem.cli.flags import parse_train
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.runs.suites.execute import Result
from hem.runs.suites.samplers import SAMPLERS, Optuna, Random, _value
from hem.runs.suites.suite_file import budget_name
from hem.runs.suites.sweep import markdown, run_sweep
from hem.runs.suites.sweep_file import Choices, Range, Sweep, read_sweep
from hem.training.metrics import progress_of

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


@pytest.mark.parametrize("low", [1, 3, 8, 10, 1e-4, 0.3])
def test_no_draw_leaves_its_range(low):
    for log, u in itertools.product((True, False), (0.0, np.nextafter(1, 0))):
        part = Range(low, 7 * low, log, isinstance(low, int))
        assert part.has(_value(part, u))


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


def goodness(settings: Mapping[str, Any]) -> float:
    return max(0.0, 1 - abs(np.log10(settings["learning_rate"]) + 3))


class Pretended:
    """An engine that trains nothing: success follows from the learning rate and the budget.

    As in a real run, what has been trained is kept, and only what is missing is added.
    """

    name, at_once = "pretended", 4

    def __init__(
        self,
        success: Callable[[float, float], float] = lambda good, share: good * share,
        fails: Container[str] = (),
    ) -> None:
        self.success, self.fails = success, fails
        self.trained: list[tuple[str, int]] = []

    def __enter__(self) -> Pretended:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def results(self, runs, retries):
        for run in runs:
            budget = run.settings[budget_name(run.settings)]
            run.folder.mkdir(parents=True, exist_ok=True)
            with (run.folder / "metrics.jsonl").open("a") as file:
                if not file.tell() or progress_of(rows(run.folder)[-1]) < budget:
                    self.trained.append((run.variant, budget))
                    rate = self.success(goodness(run.settings), budget / 400)
                    row = {"iteration": budget, "env_steps": budget, "wall_s": 1.0}
                    file.write(json.dumps(row | {"eval/success_rate": rate}) + "\n")
            yield run, Result("it fell" if run.variant in self.fails else None, 1.0)


def sweep(**changed: Any) -> Sweep:
    space = {"learning_rate": SPACE["learning_rate"], "batch_size": SPACE["batch_size"]}
    return Sweep(BASE, space, 8, "random", 0)._replace(**changed)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_better_halves_go_on(tmp_path, sampler):
    engine = Pretended()
    trials = run_sweep(sweep(sampler=sampler), "f", tmp_path, engine, quiet=True)
    assert Counter(steps for _, steps in engine.trained) == {100: 8, 200: 4, 400: 2}
    assert sorted(trial.number for trial in trials) == list(range(8))
    found = [goodness(trial.settings) for trial in trials]
    assert found == sorted(found, reverse=True)  # the best first, of each stage and of all
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


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_stage_is_judged_by_what_was_reached_at_its_end(tmp_path, sampler):
    def worse_later(good: float, share: float) -> float:
        return good if share == 0.25 else good / 100

    asked = sweep(sampler=sampler)
    first = run_sweep(asked, "f", tmp_path, Pretended(worse_later), quiet=True)
    engine = Pretended(worse_later)
    assert run_sweep(asked, "f", tmp_path, engine, quiet=True) == first
    assert engine.trained == []
    more = run_sweep(asked._replace(trials=12), "f", tmp_path, engine, quiet=True)
    assert Counter(steps for _, steps in engine.trained if steps == 100) == {100: 4}
    ranked = sorted(more, key=lambda trial: -goodness(trial.settings))
    assert {t.number for t in more if t.share > 0.25} == {t.number for t in ranked[:6]}
    for trial in more:
        assert trial.success == worse_later(goodness(trial.settings), trial.share)


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": Range(2e-3, 3e-3, log=True, is_integer=False)},
        {"batch_size": Choices([64])},
        {"learning_rate": Choices([0.1]), "hidden_dims": Choices([[8]])},
    ],
)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_of_another_search_are_refused(tmp_path, sampler, changed):
    run_sweep(sweep(), "f", tmp_path, Pretended(), quiet=True)
    engine, names = Pretended(), "|".join(changed)
    for space in (SPACE | changed, changed, {n: p for n, p in SPACE.items() if n not in changed}):
        with pytest.raises(UserError, match=rf"trial-.* another search .*({names}).* --out"):
            run_sweep(sweep(space=space, sampler=sampler), "f", tmp_path, engine, quiet=True)
    assert engine.trained == []
    run_sweep(sweep(), "f", tmp_path, engine, quiet=True)  # nothing was overwritten
    assert engine.trained == []


def test_offline_it_is_updates_that_are_halved(tmp_path):
    base = {name: value for name, value in BASE.items() if name != "env_steps"}
    base |= {"offline": "flip/mine-v0", "updates": 400}
    engine = Pretended()
    trials = run_sweep(sweep(base=base), "f", tmp_path, engine, quiet=True)
    assert Counter(updates for _, updates in engine.trained) == {100: 8, 200: 4, 400: 2}
    assert "env_steps" not in trials[0].run.settings


def test_a_trial_that_fails_goes_no_further_and_is_told(tmp_path):
    names = [f"trial-{number:04d}" for number in range(8)]
    engine = Pretended(fails=names[:5])
    trials = run_sweep(sweep(), "f", tmp_path, engine, quiet=True)
    assert [trial.error for trial in trials] == [None] * 3 + ["it fell"] * 5
    assert Counter(steps for _, steps in engine.trained) == {100: 8, 200: 3, 400: 2}
    assert [line.count("failed") for line in markdown(trials).splitlines()[2:]] == [0] * 3 + [1] * 5
    again = run_sweep(sweep(), "f", tmp_path, Pretended(fails=names), quiet=True)
    assert all(trial.error == "it fell" and trial.success == 0 for trial in again)


def test_a_sweep_whose_trials_fail_names_no_best_and_the_reason(tmp_path, trained_here):
    file, base = tmp_path / "mine.toml", 'env = "FlipBit"\nenv_steps = 8\ndemos = "no/such-v0"\n'
    file.write_text(f"trials = 2\n[base]\n{base}[search]\nhidden_dims = [[8], [8, 8]]\n")
    done = called("sweep", file, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 1
    assert "Best" not in done.stdout
    assert done.stdout.count("failed") == 2
    assert done.stderr.count("no/such-v0") == 2


def test_the_settings_of_a_trial_are_flags_of_hem_train(tmp_path):
    space = {
        "learning_rate": Choices([1]),
        "batch_size": Choices([16.0]),
        "hidden_dims": Choices([[8, 8]]),
        "eval_fixed": Choices([True]),
        "env_kwargs": Choices([{"continuing_task": False, "said": "a b"}]),
        "strategy": Choices(["final"]),
    }
    base = {"env": "PointMaze_UMaze-v3", "algo": "her", "env_steps": 400, "threshold": 1}
    best, *_ = run_sweep(
        sweep(base=base, space=space, trials=1), "f", tmp_path, Pretended(), quiet=True
    )
    words = ["--algo", "her", *shlex.split(best.flags)]
    made = parse_train("PointMaze_UMaze-v3", [*words, "--env-steps=400", "--threshold=1"])
    run = best.run
    assert made.experiment == make_experiment(run.env, run.algo, run.strategy, **run.settings)


def test_settings_that_cannot_be_are_named(tmp_path):
    with pytest.raises(UserError, match=r"f, trial-0000: .*bits"):
        run_sweep(sweep(base=BASE | {"bits": 0}), "f", tmp_path, Pretended(), quiet=True)


BUDGET = '[base]\nenv = "FlipBit"\nenv_steps = {}\n[search]\nbits = [1]\n'
GOOD = '[base]\nenv = "FlipBit"\nenv_steps = 100\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{GOOD}[search]\n", "names no setting"),
        ('[base]\nenv = "FlipBit"\n[search]\nbits = [1]\n', "give env_steps"),
        (f'{GOOD}offline = "a/b-v0"\n[search]\nbits = [1]\n', "give updates"),
        (f'{GOOD}[search]\noffline = ["a/b-v0", "c/d-v0"]\n', "give updates"),
        (BUDGET.format('"100"'), "env-steps must be an integer"),
        (BUDGET.format("inf"), "env-steps must be an integer"),
        (BUDGET.format("1.5"), "env-steps must be an integer"),
        (BUDGET.format("-5"), "env_steps must be at least 1"),
        (f"{GOOD}[search]\nbits = []\n", "no values"),
        (f"{GOOD}[search]\nbits = {{ low = 4, high = 4 }}\n", "low below high"),
        (f"{GOOD}[search]\ngamma = {{ low = 0.1, high = nan }}\n", "low below high"),
        (f"{GOOD}[search]\ngamma = {{ low = 0.1, high = 1{'0' * 400} }}\n", "exceeds 64 bits"),
        (f"{GOOD}[search]\ngamma = {{ low = -1e308, high = 1e308 }}\n", "finite"),
        (f"{GOOD}[search]\ngamma = {{ low = 0, high = 1, log = true }}\n", "low must be above 0"),
        (f"{GOOD}[search]\ngamma = {{ low = 0.1, hihg = 1 }}\n", "hihg"),
        (f"{GOOD}[search]\nseed = [1, 2]\n", "seed cannot be searched"),
        (f'{GOOD}[search]\nenv = ["FlipBit", "Navigation"]\n', "env cannot be searched"),
        (f"{GOOD}[search]\nenv_steps = [1, 2]\n", "env_steps cannot be searched"),
        (f'sampler = "grid"\n{GOOD}[search]\nbits = [1]\n', "sampler"),
        (f"trials = 0\n{GOOD}[search]\nbits = [1]\n", "trials must be at least 1"),
        (f"trials = 10_001\n{GOOD}[search]\nbits = [1]\n", "at most 10,000, not 10001"),
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
