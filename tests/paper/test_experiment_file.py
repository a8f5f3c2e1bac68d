"""Experiment files: those of the paper can be read, and others are refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hem.errors import UserError
from hem.paper import experiment_file
from hem.paper.experiment_file import BUDGETS, FILES, names, read, read_named
from hem.paper.plan import FIRST_SEED, distinct, plan
from hem.paper.theory.figures import PICTURES
from hem.paper.theory.statements import of, statements
from hem.runs.experiment import make_experiment

FIGURES = ["1", "3a", "3b", "3c", "3d", "4", "5", "6", "10a", "10b", "10c", "11a", "11b", "11c"]
SMALL = """
title = "Small"
source = "nowhere"
x = "bits"
[[cases]]
bits = 4
env_steps = 100
[[lines]]
name = "hEM"
env = "FlipBit"
"""


def test_every_figure_and_theorem_has_a_file():
    wanted = {f"fig-{n}" for n in FIGURES} | {f"theorem-{n}" for n in (1, 2, 3)}
    wanted |= {"control-variate", "mpo", "workers", "bound"}
    assert wanted <= set(names())
    assert names().index("fig-3d") < names().index("fig-10a")
    assert set(names()) == {file.stem for file in FILES.glob("*.toml")}


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_file_asks_for_runs_that_are_possible(name, budget):
    experiment = read_named(name)
    found = plan(experiment, budget, Path("out"))
    assert bool(found) == bool(experiment.cases)
    assert all(place.seed >= FIRST_SEED for place in found)
    assert len({(p.panel, p.line, p.x, p.seed) for p in found}) == len(found)
    assert len(distinct(found)) == len(found)  # no line is another one by another name
    for run in {place.run.folder.parent: place.run for place in found}.values():
        make_experiment(run.env, run.algo, run.strategy, **run.settings).build()
    if budget != "smoke":
        assert all(place.run.settings["eval_episodes"] >= 200 for place in found)
        assert all(place.run.settings["eval_fixed"] for place in found)


def test_theory_is_there():
    every = list(statements(0))
    for name in names():
        experiment = read_named(name)
        assert set(experiment.pictures) <= set(PICTURES)
        assert bool(of(experiment.statements, every)) == bool(experiment.statements)


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def test_a_small_file_is_read(tmp_path):
    found = plan(read(written(tmp_path, SMALL)), "quick", tmp_path)
    assert {(p.panel, p.line, p.x) for p in found} == {("", "hEM", 4)}
    assert [p.seed for p in found] == list(range(FIRST_SEED, FIRST_SEED + 5))
    assert found[0].run.settings["eval_interval"] == 5


def test_a_line_may_differ_by_case(tmp_path):
    """Noise, for instance, is another setting where actions are discrete."""
    cases = SMALL.replace("[[lines]]", "[[cases]]\nbits = 6\nenv_steps = 100\n[[lines]]")
    text = cases + "only = { bits = [4] }\nrandom_eps = 0.0\n"
    text += '[[lines]]\nname = "hEM"\nenv = "FlipBit"\nonly = { bits = [6] }\nrandom_eps = 0.5\n'
    found = plan(read(written(tmp_path, text)), "quick", tmp_path, seeds=1)
    assert [(p.line, p.x, p.run.settings["random_eps"]) for p in found] == [
        ("hEM", 4, 0.0),
        ("hEM", 6, 0.5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title", "titel", "titel"),
        ("[[cases]]", "[[case]]", "case"),
        ("[[lines]]", "[quick]\nseed = 3\n[[lines]]", "seed"),
        ("[[lines]]", "[quick]\nseeds = 0\n[[lines]]", "seeds must be at least 1"),
        ("[[lines]]", '[smoke]\nlines = ["HER"]\n[[lines]]', "there is no line HER"),
        ("[[lines]]", "[full]\nsteps = 0.0\n[[lines]]", "steps must be above 0"),
        ('x = "bits"', 'x = "dim"', "x is dim"),
        ('x = "bits"', 'y = ["reward"]', "'reward'"),
        ("env_steps = 100", "", "no env_steps"),
        ('name = "hEM"', "", "a line has no name"),
        ('name = "hEM"', 'name = "hEM"\nonly = { bits = 4 }', "a list of values"),
        ('name = "hEM"', 'name = "hEM"\nonly = { bist = [4] }', "no case has what hEM is only"),
        ("[[lines]]", '[[lines]]\nname = "hEM"\n[[lines]]', "two lines have the same name"),
        ("title =", "title", "not a TOML file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, old, new, said):
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        read(written(tmp_path, SMALL.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_is_refused(tmp_path):
    file = written(tmp_path, SMALL.replace("bits = 4", "bits = 4\nbist = 4"))
    with pytest.raises(UserError, match="no setting bist"):
        plan(read(file), "quick", tmp_path)


def test_an_unknown_name_lists_the_others():
    with pytest.raises(UserError, match="no experiment 'fig-2': use one of theorem-1"):
        experiment_file.read_named("fig-2")
