"""The record of an experiment: of its runs in their folders, and of those that records have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hem.errors import require
from hem.paper.plan import Place
from hem.paper.records import SCHEMA, Group, Kept, Record, read
from hem.runs.manifest import EXPERIMENT, read_manifest
from hem.runs.suites.execute import difference, is_complete
from hem.runs.suites.suite_file import PlannedRun
from hem.training import metrics

# Key of a metrics row -> field of Kept, and its digits.
COLUMNS = {
    "env_steps": ("env_steps", 0),
    "wall_s": ("wall_s", 1),
    "eval_s": ("eval_s", 1),
    "eval/success_rate": ("success", 4),
    "eval/final_success_rate": ("final_success", 4),
}
ELBO = "train/elbo"


class Finished(NamedTuple):
    """A finished run."""

    settings: dict[str, Any]  # without its seed
    versions: dict[str, str]
    kept: Kept


class Stored:
    """The runs of records, by their settings and seed, wherever they were trained."""

    def __init__(self, records: Iterable[Record] = ()):
        self._runs: dict[tuple, list[Finished]] = {}
        for record in records:
            for group in record.groups:
                for kept in group.runs:
                    found = Finished(group.config, record.versions[kept.versions], kept)
                    self._runs.setdefault((group.config["env"], kept.seed), []).append(found)

    def find(self, run: PlannedRun) -> Finished | None:
        """The stored run that a planned one would repeat; None if there is none."""
        seed = run.settings["seed"]
        for found in self._runs.get((run.env, seed), []):
            config = found.settings | {"run": found.settings["run"] | {"seed": seed}}
            as_long = config["run"].get("env_steps") == run.settings["env_steps"]
            if as_long and difference(run, config) is None:
                return found
        return None


def read_stored(folder: Path | None) -> Stored:
    """The runs of the records in a folder; none without one.

    Raises:
        UserError: the folder has no records, or one cannot be read.
    """
    if folder is None:
        return Stored()
    files = sorted(folder.glob("*.json"))
    require(bool(files), f"{folder} has no records: experiments/results/paper of a checkout has")
    return Stored(read(file) for file in files)


def collect(name: str, budget: str, places: Sequence[Place], stored: Stored) -> Record:
    """Take the finished runs of an experiment from their folders, or else from what is stored."""
    record = Record(SCHEMA, name, budget, len(places), [], [])
    groups: dict[tuple, Group] = {}
    for place in places:
        found = _in_folder(place.run) or stored.find(place.run)
        if found is None:
            continue
        if found.versions not in record.versions:
            record.versions.append(found.versions)
        key = (place.panel, place.line, place.x)
        group = groups.setdefault(key, Group(*key, found.settings, []))
        number = record.versions.index(found.versions)
        group.runs.append(msgspec.structs.replace(found.kept, versions=number))
    record.groups.extend(groups.values())
    return record


def _in_folder(run: PlannedRun) -> Finished | None:
    if not is_complete(run):
        return None
    config = read_manifest(run.folder / "config.json")
    alone = {name: value for name, value in config["run"].items() if name != "seed"}
    settings = {name: config[name] for name in EXPERIMENT} | {"run": alone}
    return Finished(settings, config["versions"], _kept(run.folder, config["run"]["seed"]))


def _kept(folder: Path, seed: int) -> Kept:
    rows = [row for row in metrics.read(folder / "metrics.jsonl") if "eval/success_rate" in row]
    columns = {
        field: [round(row[key], digits) if digits else row[key] for row in rows]
        for key, (field, digits) in COLUMNS.items()
    }
    elbo = [round(row[ELBO], 4) for row in rows if ELBO in row]
    return Kept(seed, 0, **columns, elbo=elbo if len(elbo) == len(rows) else None)
