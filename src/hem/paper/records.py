"""What is kept of an experiment's runs: settings, seeds, versions and curves, as small JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hem.errors import UserError
from hem.paper.plan import Place
from hem.runs.manifest import read_manifest
from hem.runs.suites.execute import EXPERIMENT, is_complete
from hem.system.atomic_io import named_errors, write_text
from hem.system.parsing import read_json
from hem.training import metrics

SCHEMA = 1
# Key of a metrics row -> field of Kept, and its digits.
COLUMNS = {
    "env_steps": ("env_steps", 0),
    "wall_s": ("wall_s", 1),
    "eval_s": ("eval_s", 1),
    "eval/success_rate": ("success", 4),
    "eval/final_success_rate": ("final_success", 4),
}
ELBO = "train/elbo"


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """The M evaluations of a run."""

    seed: int
    versions: int  # its index in Record.versions
    env_steps: list[float]
    wall_s: list[float]  # all seconds so far, evaluations among them
    eval_s: list[float]  # those of evaluations
    success: list[float]  # at any step of the episode
    final_success: list[float]  # at its last step
    elbo: list[float] | None = None  # the lower bound, if it was logged

    @property
    def train_s(self) -> list[float]:
        """Seconds so far without evaluations."""
        return [wall - test for wall, test in zip(self.wall_s, self.eval_s, strict=True)]


class Group(msgspec.Struct, forbid_unknown_fields=True):
    """The runs of one line at one place: they differ in their seeds."""

    panel: str
    line: str
    x: float | str | None
    config: dict[str, Any]
    runs: list[Kept]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """The file of an experiment."""

    schema: int
    name: str
    budget: str
    planned: int  # runs, of which those in groups had finished
    versions: list[dict[str, str]]
    groups: list[Group]


def collect(name: str, budget: str, places: Sequence[Place]) -> Record:
    """Read the finished runs of an experiment from their folders."""
    record = Record(SCHEMA, name, budget, len(places), [], [])
    groups: dict[tuple, Group] = {}
    for place in places:
        if not is_complete(place.run):
            continue
        config = read_manifest(place.run.folder / "config.json")
        if config["versions"] not in record.versions:
            record.versions.append(config["versions"])
        key = (place.panel, place.line, place.x)
        if key not in groups:
            groups[key] = Group(*key, _settings(config), [])
        number = record.versions.index(config["versions"])
        groups[key].runs.append(_kept(place.run.folder, place.seed, number))
    record.groups.extend(groups.values())
    return record


def write(record: Record, file: Path) -> None:
    """Write a record, one line for each run, so that changes can be read."""
    plain = msgspec.to_builtins(record)
    for group in plain["groups"]:
        group["runs"] = [{k: v for k, v in run.items() if v is not None} for run in group["runs"]]
    groups = ",\n".join(_as_text(group) for group in plain.pop("groups"))
    head = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in plain.items())
    with named_errors(file):
        write_text(file, f'{{\n{head},\n"groups": [\n{groups}\n]\n}}\n')


def read(file: Path) -> Record:
    """A stored record.

    Raises:
        AbsentError: there is none.
        UserError: it cannot be read, is damaged, or is from another version.
    """
    record = read_json(file, Record, SCHEMA)
    for group in record.groups:
        for run in group.runs:
            lengths = {len(getattr(run, name)) for name, _ in COLUMNS.values()}
            if len(lengths) != 1 or not group.runs or 0 in lengths:
                raise UserError(f"{file} is damaged: a run's columns differ in length")
    return record


def _as_text(group: dict[str, Any]) -> str:
    runs = ",\n".join(json.dumps(run, separators=(",", ":")) for run in group.pop("runs"))
    head = json.dumps(group, ensure_ascii=False)[:-1]
    return f'{head}, "runs": [\n{runs}\n]}}'


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A run's settings without its seed, which its entry has."""
    run = {name: value for name, value in config["run"].items() if name != "seed"}
    return {name: config[name] for name in EXPERIMENT} | {"run": run}


def _kept(folder: Path, seed: int, versions: int) -> Kept:
    rows = [row for row in metrics.read(folder / "metrics.jsonl") if "eval/success_rate" in row]
    columns = {
        field: [round(row[key], digits) if digits else row[key] for row in rows]
        for key, (field, digits) in COLUMNS.items()
    }
    elbo = [round(row[ELBO], 4) for row in rows if ELBO in row]
    return Kept(seed, versions, **columns, elbo=elbo if len(elbo) == len(rows) else None)
