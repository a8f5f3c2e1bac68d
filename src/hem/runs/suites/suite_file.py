"""Suite files: from TOML to the list of runs.

seeds = 3                       # 0, 1 and 2; or a list

[base]                          # of every run: any setting of `hem train`
env = "FlipBit"
env_steps = 40_000

[grid]                          # every combination
bits = [8, 16]
algo = ["hem", "her"]

[[variants]]                    # each on top of every combination
name = "no hindsight"
relabel_ratio = 0.0
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hem.errors import UserError, require
from hem.runs.experiment import make_experiment
from hem.runs.manifest import NAMES
from hem.system.parsing import parse_toml

OWN = ("seed", "run_dir", "quiet")  # what the suite decides for each run
MOST_RUNS = 100_000


class SuiteFile(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of the file."""

    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    variants: list[dict[str, Any]] = []
    seeds: int | list[int] = 1


class PlannedRun(NamedTuple):
    """One run of a suite."""

    variant: str
    env: str
    algo: str
    strategy: str | None
    settings: dict[str, Any]  # those that were given, of their types; the seed among them
    folder: Path


def read_suite(file: Path, out: Path) -> list[PlannedRun]:
    """The runs that a suite file asks for, by variant and seed, with folders below ``out``.

    Raises:
        UserError: it cannot be read, or has an unknown key or an impossible value.
    """
    suite = parse_toml(file, SuiteFile)
    seeds = range(suite.seeds) if isinstance(suite.seeds, int) else suite.seeds
    require(len(seeds) > 0, f"{file}: seeds must be at least 1, or a list of seeds")
    combinations = math.prod(map(len, suite.grid.values())) * max(1, len(suite.variants))
    require_few(combinations * len(seeds), str(file))  # before any of them is made
    require(len(set(seeds)) == len(seeds), f"{file}: a seed is given twice")
    require(all(0 <= s < 2**32 for s in seeds), f"{file}: seeds must be in [0, 2^32)")
    variants = dict(_variants(suite, file))
    folders = {name: _folder_name(name) for name in variants}
    require(
        len(set(folders.values())) == len(folders),
        f"{file}: two variants have names that are the same as folders: give them other names",
    )
    return [
        planned(name, values | {"seed": seed}, out / folders[name] / f"seed-{seed}", str(file))
        for name, values in variants.items()
        for seed in seeds
    ]


def budget_name(settings: Mapping[str, Any]) -> str:
    """The setting that says how long a run with these trains."""
    return "env_steps" if settings.get("offline") is None else "updates"


def require_few(runs: int, source: str) -> None:
    """Raise ``UserError`` if these are more runs than can be planned."""
    require(runs <= MOST_RUNS, f"{source} asks for more than {MOST_RUNS:,} runs: ask for fewer")


def planned(variant: str, values: Mapping[str, Any], folder: Path, source: str) -> PlannedRun:
    """A run with these values, by name, whose settings exist and are possible.

    Raises:
        UserError: they are not; the message begins with ``source``.
    """
    given = {name: value for name, value in values.items() if name not in NAMES}
    require("env" in values, f"{source}: which environment? Give env in [base]")
    env, algo, strategy = (values.get(name) for name in NAMES)
    try:
        made = make_experiment(env, algo, strategy, **given)
    except UserError as error:
        raise UserError(f"{source}, {variant}: {error}") from error
    found = made.settings
    settings = {name: found[name] for name in given}
    return PlannedRun(variant, str(env), made.algo, strategy, settings, folder)


def _variants(suite: SuiteFile, file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every combination of the grid with every variant, by name."""
    for name, values in suite.grid.items():
        require(len(values) > 0, f"{file}: {name} in [grid] has no values")
    named = {*suite.base, *suite.grid, *itertools.chain(*suite.variants)}
    for name in OWN:
        require(name not in named, f"{file}: {name} is not a setting of a suite: give seeds")
    found: dict[str, dict[str, Any]] = {}
    axes = [[(name, value) for value in values] for name, values in suite.grid.items()]
    for chosen in itertools.product(*axes):
        for number, variant in enumerate(suite.variants or [{}], start=1):
            own = {name: value for name, value in variant.items() if name != "name"}
            words = [f"{name}={value}" for name, value in chosen]
            if suite.variants:
                words.append(str(variant.get("name", f"variant-{number}")))
            name = ", ".join(words) or file.stem
            require(name not in found, f"{file}: two variants are called {name!r}")
            found[name] = suite.base | dict(chosen) | own
    return list(found.items())


def _folder_name(variant: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", variant).strip("-.") or "variant"
