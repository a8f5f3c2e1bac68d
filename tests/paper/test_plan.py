"""Plans: which runs are shared, and what decides their folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hem.errors import UserError
from hem.paper.cost import cost, predicted, usual_seeds
from hem.paper.experiment_file import names, read_named
from hem.paper.plan import content_hash, distinct, plan
from hem.runs.experiment import make_experiment

OUT = Path("out")


def folders(name: str, budget: str = "quick", seeds: int | None = None) -> set[Path]:
    return {run.folder for run in distinct(plan(read_named(name), budget, OUT, seeds))}


def test_the_overview_has_the_runs_of_the_figures_it_shows():
    assert folders("fig-1") <= folders("fig-4") | folders("fig-5")
    assert folders("fig-1", "full") <= folders("fig-4", "full") | folders("fig-5", "full")
    assert folders("fig-3b") <= folders("fig-3a")
    assert folders("fig-3d") <= folders("fig-3c")


def test_budgets_share_nothing_where_they_train_otherwise():
    assert not folders("fig-4", "smoke") & folders("fig-4", "quick")
    assert not folders("fig-4", "quick") & folders("fig-4", "full")
    assert folders("fig-3a", "quick") < folders("fig-3a", "full")  # which has only more seeds


def test_seeds_can_be_fewer_or_more():
    assert folders("fig-3a", seeds=2) < folders("fig-3a")
    assert folders("fig-3a") < folders("fig-3a", seeds=7)
    with pytest.raises(UserError, match="at least 1"):
        plan(read_named("fig-3a"), "quick", OUT, -1)
    for many in (100_000, 2**32, 10**30):
        with pytest.raises(UserError, match="more than 100,000 runs"):
            plan(read_named("fig-3a"), "quick", OUT, many)


def test_a_folder_is_named_by_what_is_not_the_default():
    one = make_experiment("FlipBit", bits=5, seed=1)
    assert content_hash(one) == content_hash(make_experiment("FlipBit", bits=5, seed=2))
    assert content_hash(one) != content_hash(make_experiment("FlipBit", bits=6))
    assert content_hash(one) != content_hash(make_experiment("FlipBit", bits=5, env_steps=7))
    same = make_experiment("FlipBit", bits=5, horizon=0, batch_size=64)  # as they are by default
    assert content_hash(one) == content_hash(same)


def test_the_cost_is_that_of_the_table_until_something_was_measured():
    runs = distinct(plan(read_named("fig-4"), "quick", OUT))
    found = cost(runs)
    assert (found.runs, found.finished) == (len(runs), 0)
    assert found.hours == pytest.approx(sum(map(predicted, runs)) / 3600)


def test_everything_quick_takes_two_cores_less_than_a_day():
    runs = distinct(p for name in names() for p in plan(read_named(name), "quick", OUT))
    assert cost(runs).hours < 2 * 24


@pytest.mark.parametrize(("steps", "seeds"), [(1_000, 5), (100_000, 3), (1_000_000, 1)])
def test_the_shorter_a_run_the_more_seeds(steps, seeds):
    place, *_ = plan(read_named("fig-6"), "quick", OUT)
    run = place.run._replace(settings=place.run.settings | {"env_steps": steps})
    assert usual_seeds(run) == seeds


def test_what_takes_long_is_run_with_fewer_seeds():
    seeds = Counter((p.panel, p.line) for p in plan(read_named("fig-6"), "quick", OUT))
    assert seeds["FetchPush-v4", "HER (-1/0)"] == 3
    assert seeds["FetchSlide-v4", "HER (-1/0)"] == 1
