"""Collecting: a run counts wherever it was trained, if it is the one that is planned."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from synthetic import run as kept_run

from hem.errors import UserError
from hem.paper import records
from hem.paper.collect import Stored, collect, read_stored
from hem.paper.experiment_file import read_named
from hem.paper.plan import Place, plan
from hem.paper.records import SCHEMA, Group, Record
from hem.runs.experiment import make_experiment
from hem.runs.suites.suite_file import PlannedRun

OUT = Path("out")  # where nothing was trained
VERSIONS = {"jax": "0", "mujoco": "0"}


def stored(places: list[Place], version: str = "0", final: float = 0.9) -> Record:
    """A record of places, as if each had been trained."""
    groups: dict[tuple, Group] = {}
    for place in places:
        run = place.run
        made = make_experiment(run.env, run.algo, run.strategy, **run.settings)
        settings = msgspec.json.decode(msgspec.json.encode(made.to_json()))  # as a file has it
        del settings["run"]["seed"]
        key = (place.panel, place.line, place.x)
        group = groups.setdefault(key, Group(*key, settings, []))
        group.runs.append(kept_run(place.seed, final))
    versions = [VERSIONS | {"jax": version}]
    return Record(SCHEMA, "mine", "quick", len(places), versions, list(groups.values()))


def planned(name: str, budget: str = "quick") -> list[Place]:
    return plan(read_named(name), budget, OUT)


@pytest.mark.parametrize("name", ["fig-3b", "fig-4", "fig-10c", "fig-6", "mpo", "workers"])
def test_every_run_is_found_again_by_its_settings(name):
    places = planned(name)
    known = Stored([stored(places)])
    assert all(known.find(place.run).kept.seed == place.seed for place in places)
    assert collect(name, "quick", places, known).groups == stored(places).groups


@pytest.mark.parametrize(
    "other", [{"seed": 99}, {"bits": 24}, {"env_steps": 200_001}, {"learning_rate": 0.5}]
)
def test_a_run_with_other_settings_is_not_the_one(other):
    first, *_ = planned("fig-11a")
    known = Stored([stored([first])])
    changed: PlannedRun = first.run._replace(settings=first.run.settings | other)
    assert known.find(first.run) is not None
    assert known.find(changed) is None


def test_experiments_share_what_is_stored():
    known = Stored([stored(planned("fig-4"))])
    record = collect("fig-1", "quick", planned("fig-1"), known)
    assert {group.panel for group in record.groups} == {"from state"}
    assert record.planned == len(planned("fig-1"))


def test_each_run_keeps_the_versions_that_it_was_trained_with():
    places = planned("fig-11a")
    older, newer = stored(places[:3], "1"), stored(places[3:], "2")
    record = collect("fig-11a", "quick", places, Stored([newer, older]))
    found = [record.versions[run.versions]["jax"] for g in record.groups for run in g.runs]
    assert found == ["1"] * 3 + ["2"] * 7


def test_a_folder_without_records_is_refused(tmp_path):
    assert read_stored(None).find(planned("fig-11a")[0].run) is None
    with pytest.raises(UserError, match="has no records"):
        read_stored(tmp_path)
    records.write(stored(planned("fig-11a")), tmp_path / "mine.json")
    assert read_stored(tmp_path).find(planned("fig-11a")[0].run) is not None
