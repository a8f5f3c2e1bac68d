"""What is kept of an experiment's runs: settings, seeds, versions and curves, as small JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from hem.errors import UserError
from hem.system.atomic_io import named_errors, write_text
from hem.system.parsing import read_json

SCHEMA = 1
# Of every run, equally long.
COLUMNS = ("env_steps", "wall_s", "eval_s", "success", "final_success")


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """The M evaluations of a run."""

    seed: int
    versions: int  # its index in Record.versions
    env_steps: list[int]
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
        if not (
            isinstance(group.config.get("env"), str) and isinstance(group.config.get("run"), dict)
        ):
            raise UserError(f"{file} is damaged: the configuration of {group.line} is not whole")
        if not group.runs:
            raise UserError(f"{file} is damaged: {group.line} has no runs")
        for run in group.runs:
            lengths = {len(getattr(run, name)) for name in COLUMNS}
            if len(lengths) != 1 or 0 in lengths:
                raise UserError(f"{file} is damaged: a run's columns differ in length")
            if not 0 <= run.versions < len(record.versions):
                raise UserError(f"{file} is damaged: it lacks the versions of a run")
    return record


def _as_text(group: dict[str, Any]) -> str:
    runs = ",\n".join(json.dumps(run, separators=(",", ":")) for run in group.pop("runs"))
    head = json.dumps(group, ensure_ascii=False)[:-1]
    return f'{head}, "runs": [\n{runs}\n]}}'
