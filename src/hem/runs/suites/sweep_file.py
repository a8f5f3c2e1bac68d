"""Sweep files: from TOML to a base, and ranges to search in.

trials = 30
sampler = "random"              # or "optuna"

[base]                          # of every trial: any setting of `hem train`
env = "FlipBit"
env_steps = 100_000

[search]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
batch_size = [64, 256]          # one of these
random_eps = { low = 0.0, high = 0.5 }
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from hem.errors import require
from hem.runs.suites.suite_file import OWN
from hem.system.parsing import parse_toml


class Bounds(msgspec.Struct, forbid_unknown_fields=True):
    """A range, as the file has it."""

    low: int | float
    high: int | float
    log: bool = False


class SweepFile(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of the file."""

    base: dict[str, Any]
    search: dict[str, Bounds | list[Any]]
    trials: int = 20
    sampler: Literal["random", "optuna"] = "random"
    seed: int = 0


class Range(NamedTuple):
    """Numbers between two, both included."""

    low: float
    high: float
    log: bool  # uniform in the logarithm
    is_integer: bool


class Choices(NamedTuple):
    """One of several values."""

    values: list[Any]


Space = dict[str, Range | Choices]


class Sweep(NamedTuple):
    """What to search."""

    base: dict[str, Any]
    space: Space
    trials: int
    sampler: str
    seed: int


def read_sweep(file: Path) -> Sweep:
    """What a sweep file asks for.

    Raises:
        UserError: it cannot be read, or has an unknown key or an impossible range.
    """
    found = parse_toml(file, SweepFile)
    require(found.trials >= 1, f"{file}: trials must be at least 1, not {found.trials}")
    require(0 <= found.seed < 2**32, f"{file}: seed must be in [0, 2^32), not {found.seed}")
    require(bool(found.search), f"{file}: [search] names no setting")
    require("env_steps" in found.base, f"{file}: give env_steps in [base], the budget of a trial")
    for name in (*OWN, "env_steps"):
        require(name not in found.search, f"{file}: {name} cannot be searched")
    space = {name: _part(file, name, part) for name, part in found.search.items()}
    return Sweep(found.base, space, found.trials, found.sampler, found.seed)


def _part(file: Path, name: str, part: Bounds | list[Any]) -> Range | Choices:
    if isinstance(part, list):
        require(len(part) > 0, f"{file}: {name} in [search] has no values")
        return Choices(part)
    low, high = part.low, part.high
    fine = math.isfinite(low) and math.isfinite(high) and low < high
    require(fine, f"{file}: {name} must have low below high, not {low} and {high}")
    require(low > 0 or not part.log, f"{file}: {name} is log: low must be above 0, not {low}")
    return Range(low, high, part.log, isinstance(low, int) and isinstance(high, int))
