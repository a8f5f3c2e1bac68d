"""The page on the paper: it is what the stored results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import record

from experiments.paper.page import DOCS, text
from experiments.paper.results import FOLDER, NotTestedError, group, store, stored
from experiments.paper.results import places as places_of
from hem.paper import records
from hem.paper.collect import Stored, collect
from hem.paper.experiment_file import names, read_named
from hem.paper.plan import plan


def test_the_page_is_made_of_what_is_stored():
    page = (DOCS / "paper.md").read_text()
    assert page == text(stored()), "run `make paper`"
    for image in re.findall(r"\]\((img/[^)]+)\)", page):
        assert (DOCS / image).is_file(), f"{image} is missing: run `make paper`"


def test_every_experiment_is_on_the_page_run_or_not():
    kept = {"fig-11a": record("fig-11a", lambda *_: 0.9)}
    page = text(kept)
    for name in names():
        assert f"hem paper {name}" in page
        if read_named(name).cases and name not in kept:
            assert f"Not run yet: `hem paper {name}`." in page
    assert "![Flip bit from zeros, 25 bits: hEM and HPG](img/paper/fig-11a.png)" in page
    assert "10 runs, seeds 20 to 24" in page


def test_stored_files_are_of_experiments_and_small():
    for file in FOLDER.glob("*.json"):
        assert records.read(file).name == file.stem
        assert file.stem in names()
        assert file.stat().st_size < 200_000
        assert not re.findall(r'"(/[^"]*)"', file.read_text())  # paths of a machine


@pytest.mark.parametrize("name", sorted(stored()))
def test_what_is_stored_is_what_would_be_run_today(name):
    """A preset that changes a figure of the paper is to be undone in its experiment file."""
    places, kept = plan(read_named(name), "quick", Path("out")), stored()
    assert collect(name, "quick", places, Stored(kept.values())) == kept[name]


def test_a_part_of_an_experiment_is_not_judged():
    kept = {"fig-4": record("fig-4", lambda *_: 0.9)}
    assert len(places_of(kept, "fig-4")) == 4
    kept["fig-4"].groups.pop()
    with pytest.raises(NotTestedError, match="all 94 runs of fig-4, of which 89 are there"):
        places_of(kept, "fig-4")


def test_what_has_not_been_run_is_not_stored(tmp_path):
    assert list(store(tmp_path, "quick", "fig-3a", tmp_path / "results")) == []
    assert stored(tmp_path) == {}


def test_what_is_not_stored_cannot_be_asked_for():
    kept = {"fig-11a": record("fig-11a", lambda *_: 0.9)}
    assert len(group(kept, "fig-11a", "hEM").runs) == 5
    with pytest.raises(NotTestedError, match=r"fig-11a \(HER\)"):
        group(kept, "fig-11a", "HER")
    with pytest.raises(NotTestedError, match="fig-3a"):
        group(kept, "fig-3a", "hEM", x=5)
