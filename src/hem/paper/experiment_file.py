"""Experiment files: what a figure or theorem of the paper needs, from TOML.

title = "Flip bit: success against the number of bits"
source = "Figure 3a"
x = "bits"                       # drawn along x: a setting, or env_steps for learning curves

[base]                           # settings of every run, as in a suite
env = "FlipBit"

[[cases]]                        # the places in the picture, each with every line
bits = 5                         # any settings; panel = "..." if there are several panels
env_steps = 20_000

[[lines]]                        # what is compared
name = "hEM"
strategy = "future"              # only = { bits = [5] } if the line is not in every case

[smoke]                          # what each budget changes: seeds, which cases and lines, settings
only = { bits = [5] }
[full]
seeds = 10                       # by default more, the shorter a run is

An experiment of theory has the names of its ``statements`` and ``pictures`` instead of runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hem.errors import UserError, require
from hem.runs.suites.suite_file import parse_toml

FILES = Path(__file__).parent / "experiments"
BUDGETS = ("smoke", "quick", "full")
CURVE = "env_steps"  # the x of learning curves
MEASURES = ("success", "elbo")


class Budget(msgspec.Struct, forbid_unknown_fields=True):
    """How much of an experiment is run."""

    seeds: int | None = None  # None: 5, 3 or 1, by how long a run is
    only: dict[str, list[Any]] = {}  # settings of the cases that are run; {}: all
    lines: list[str] = []  # those that are run; []: all
    settings: dict[str, Any] = {}  # on top of those of the case and the line
    steps: float = 1.0  # factor of env_steps


class ExperimentFile(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a file."""

    title: str
    source: str  # in the paper
    x: str = CURVE
    y: list[str] = msgspec.field(default_factory=lambda: ["success"])
    success: float = 0.95  # what "steps to" asks for
    base: dict[str, Any] = {}
    cases: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    smoke: Budget = msgspec.field(default_factory=Budget)
    quick: Budget = msgspec.field(default_factory=Budget)
    full: Budget = msgspec.field(default_factory=Budget)
    statements: list[str] = []  # sources in ``theory.statements``
    pictures: list[str] = []  # names in ``theory.figures``


def names() -> list[str]:
    """The experiments, in the order of the paper's figures, theorems first."""
    found = [file.stem for file in FILES.glob("*.toml")]
    return sorted(found, key=lambda name: (not name.startswith("theorem"), _by_number(name)))


def read_named(name: str) -> ExperimentFile:
    """The experiment of this name.

    Raises:
        UserError: there is none.
    """
    known = names()
    if name not in known:
        raise UserError(f"the paper has no experiment {name!r}: use one of {', '.join(known)}")
    return read(FILES / f"{name}.toml")


def read(file: Path) -> ExperimentFile:
    """The experiment in a file.

    Raises:
        UserError: it cannot be read, has an unknown key, or says something impossible.
    """
    found = parse_toml(file, ExperimentFile)
    for measure in found.y:
        require(measure in MEASURES, f"{file}: y must be of {', '.join(MEASURES)}, not {measure!r}")
    lines = [line.get("name") for line in found.lines]
    require(all(isinstance(name, str) for name in lines), f"{file}: a line has no name")
    for line in found.lines:
        _check_only(line.get("only", {}), f"{file}: {line['name']}")
    has_runs = bool(found.cases and found.lines)
    require(has_runs or bool(found.statements), f"{file} has neither runs nor statements")
    for case in found.cases:
        asked = found.base | case
        require(found.x in asked, f"{file}: x is {found.x}, which a case does not have")
        require("env_steps" in asked, f"{file}: a case has no env_steps")
        here = [line["name"] for line in found.lines if is_in(line.get("only", {}), asked)]
        require(len(set(here)) == len(here), f"{file}: two lines have the same name")
    for line in found.lines:
        kept = [case for case in found.cases if is_in(line.get("only", {}), found.base | case)]
        require(bool(kept), f"{file}: no case has what {line['name']} is only for")
    for name in BUDGETS:
        _check(getattr(found, name), [str(line) for line in lines], f"{file}: {name}")
    return found


def is_in(only: dict[str, list[Any]], settings: dict[str, Any]) -> bool:
    """Whether the settings have one of the values that are allowed, of each of ``only``."""
    return all(settings.get(name) in allowed for name, allowed in only.items())


def _check_only(only: Any, source: str) -> None:
    fine = isinstance(only, dict) and all(isinstance(values, list) for values in only.values())
    require(fine, f"{source}: only must have a list of values for each setting")


def _check(budget: Budget, lines: list[str], source: str) -> None:
    require(budget.seeds is None or budget.seeds >= 1, f"{source}: seeds must be at least 1")
    require(budget.steps > 0, f"{source}: steps must be above 0")
    unknown = [name for name in budget.lines if name not in lines]
    require(not unknown, f"{source}: there is no line {', '.join(unknown)}")


def _by_number(name: str) -> tuple[str, int, str]:
    """fig-3a before fig-10b."""
    kind, _, rest = name.partition("-")
    digits = "".join(c for c in rest if c.isdigit())
    return kind, int(digits or 0), rest
