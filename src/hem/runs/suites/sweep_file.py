"""Sweep files: from TOML to a base, and ranges to search in.

trials = 30
sampler = "random"              # or "optuna"

[base]                          # of every trial: any setting of `hem train`
env = "FlipBit"
env_steps = 100_000             # the budget of a trial; with offline, updates

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

from hem.errors import UserError, require
from hem.runs.suites.suite_file import OWN, budget_name
from hem.system.conversion import convert
from hem.system.parsing import parse_toml

MOST_TRIALS = 10_000


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

    def has(self, value: Any) -> bool:
        """Whether a value is between the two."""
        kinds = int if self.is_integer else (int, float)
        return isinstance(value, kinds) and self.low <= value <= self.high


class Choices(NamedTuple):
    """One of several values."""

    values: list[Any]

    def has(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values


Space = dict[str, Range | Choices]


class Sweep(NamedTuple):
    """What to search."""

    base: dict[str, Any]
    space: Space
    trials: int
    sampler: str
    seed: int

    @property
    def budget_name(self) -> str:
        """The setting, in ``base``, that says how long a whole trial trains."""
        return budget_name(self.base | self.space)


def read_sweep(file: Path) -> Sweep:
    """What a sweep file asks for.

    Raises:
        UserError: it cannot be read, or has an unknown key or an impossible range.
    """
    found = parse_toml(file, SweepFile)
    require(
        1 <= found.trials <= MOST_TRIALS,
        f"{file}: trials must be at least 1 and at most {MOST_TRIALS:,}, not {found.trials}",
    )
    require(0 <= found.seed < 2**32, f"{file}: seed must be in [0, 2^32), not {found.seed}")
    require(bool(found.search), f"{file}: [search] names no setting")
    for name in (*OWN, "env", "env_steps", "updates"):
        require(name not in found.search, f"{file}: {name} cannot be searched")
    space = {name: _part(file, name, part) for name, part in found.search.items()}
    name = budget_name(found.base | space)
    require(name in found.base, f"{file}: give {name} in [base], the budget of a trial")
    base = found.base | {name: _budget(file, name, found.base[name])}
    return Sweep(base, space, found.trials, found.sampler, found.seed)


def _budget(file: Path, name: str, value: Any) -> int:
    try:
        found = convert(name, value, int)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    require(found >= 1, f"{file}: {name} must be at least 1, not {found}")
    return found


def _part(file: Path, name: str, part: Bounds | list[Any]) -> Range | Choices:
    if isinstance(part, list):
        require(len(part) > 0, f"{file}: {name} in [search] has no values")
        return Choices(part)
    low, high = part.low, part.high
    fine = low < high and math.isfinite(high - low)
    require(fine, f"{file}: {name} must have low below high, both finite, not {low} and {high}")
    require(low > 0 or not part.log, f"{file}: {name} is log: low must be above 0, not {low}")
    return Range(low, high, part.log, isinstance(low, int) and isinstance(high, int))
