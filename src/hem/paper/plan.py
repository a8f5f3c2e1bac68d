"""From an experiment and a budget to its runs.

A run's folder is named by its content, all settings that are not the default. Experiments that ask
for the same settings and seed therefore share it, and another budget or preset gets a new one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hem.errors import require
from hem.paper.cost import usual_seeds
from hem.paper.experiment_file import CURVE, Budget, ExperimentFile, is_in
from hem.runs.experiment import Experiment, make_experiment
from hem.runs.manifest import CONFIGS
from hem.runs.suites.suite_file import PlannedRun, planned, require_few

FIRST_SEED = 20  # presets were chosen with 0 to 2, and results.md has 10 to 12
EVALUATIONS, OF_IMAGES = 20, 10  # to draw 200 episodes takes longer than to learn from as many
# Of every run but those of smoke: goals enough, and always the same, for "two in a row".
MEASURED = {"eval_episodes": 200, "eval_fixed": True}
SMOKE = {
    "env_steps": 200,
    "eval_interval": 100,
    "eval_episodes": 4,
    "eval_fixed": True,
    "episodes_per_iteration": 2,
    "updates_per_iteration": 2,
    "buffer_episodes": 8,
}
OF_CASE, OF_LINE = ("panel",), ("name", "only")  # keys that are no settings


class Place(NamedTuple):
    """A run, and where it is in the picture."""

    panel: str
    line: str
    x: float | str | None  # None in a learning curve
    seed: int
    run: PlannedRun


def plan(
    experiment: ExperimentFile, budget: str, out: Path, seeds: int | None = None
) -> list[Place]:
    """The runs of an experiment, by case, line and seed; none if it is theory only.

    Args:
        experiment: from its file.
        budget: smoke, quick or full.
        out: where run folders go, in ``runs``.
        seeds: how many; by default what the budget says.

    Raises:
        UserError: a setting does not exist or has an impossible value.
    """
    require(seeds is None or seeds >= 1, f"seeds must be at least 1, not {seeds}")
    asked: Budget = getattr(experiment, budget)
    pairs = [
        (case, line)
        for case in experiment.cases
        if is_in(asked.only, experiment.base | case)
        for line in experiment.lines
        if is_in(line.get("only", {}), experiment.base | case)
        if not asked.lines or line["name"] in asked.lines
    ]
    require_few(len(pairs) * (seeds or 1), f"{experiment.source} with {seeds} seeds")
    return [
        place
        for case, line in pairs
        for place in _places(experiment, budget, case, line, out, seeds)
    ]


def distinct(places: Iterable[Place]) -> list[PlannedRun]:
    """The runs, each once."""
    return list({place.run.folder: place.run for place in places}.values())


def _places(
    experiment: ExperimentFile,
    budget: str,
    case: dict[str, Any],
    line: dict[str, Any],
    out: Path,
    seeds: int | None,
) -> Iterator[Place]:
    asked: Budget = getattr(experiment, budget)
    name, panel = line["name"], str(case.get("panel", ""))
    x = None if experiment.x == CURVE else (experiment.base | case)[experiment.x]
    values = _values(experiment, budget, case, line)
    variant = ", ".join(filter(None, [panel, name, "" if x is None else f"{experiment.x} {x}"]))
    first = planned(variant, values | {"seed": FIRST_SEED}, out, experiment.source)
    made = make_experiment(first.env, first.algo, first.strategy, **first.settings)
    folder = out / "runs" / f"{made.env}-{made.algo}-{content_hash(made)}"
    count = seeds or asked.seeds or (1 if budget == "smoke" else usual_seeds(first))
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        run = first._replace(
            settings=first.settings | {"seed": seed}, folder=folder / f"seed-{seed}"
        )
        yield Place(panel, name, x, seed, run)


def _values(
    experiment: ExperimentFile, budget: str, case: dict[str, Any], line: dict[str, Any]
) -> dict[str, Any]:
    """The settings of a run, without its seed; later ones override earlier ones."""
    asked: Budget = getattr(experiment, budget)
    given = experiment.base | _without(case, OF_CASE) | _without(line, OF_LINE)
    if budget == "smoke":
        return given | SMOKE | asked.settings
    steps = round(given["env_steps"] * asked.steps)
    count = OF_IMAGES if given.get("obs") == "image" else EVALUATIONS
    spaced = {"eval_interval": max(1, steps // count)}
    return MEASURED | spaced | given | {"env_steps": steps} | asked.settings


def _without(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in keys}


def content_hash(experiment: Experiment) -> str:
    """A name for an experiment's settings, all but the seed.

    Defaults are left out, so that a setting that hem gets later changes no name.
    """
    content: dict[str, Any] = {"strategy": experiment.strategy}
    for part in CONFIGS:
        config = getattr(experiment, part)
        if config is None:  # of no strategy
            continue
        default = type(config)()
        content[part] = {
            field.name: value
            for field in dataclasses.fields(config)
            if (value := getattr(config, field.name)) != getattr(default, field.name)
            and (part, field.name) != ("run", "seed")
        }
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
