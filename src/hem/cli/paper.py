"""The command that reproduces the paper. It imports what it needs, when it does."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hem.errors import UserError, require

if TYPE_CHECKING:
    from hem.paper.collect import Stored
    from hem.paper.experiment_file import ExperimentFile
    from hem.paper.plan import Place
    from hem.paper.theory.statements import Statement
    from hem.runs.suites.suite_file import PlannedRun

LONG = 24.0  # core-hours that are not begun without --yes
SEED = 0  # of Monte Carlo, in theorems


def paper(
    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="NAME ...", help_behavior_hint="(required)")
    ],
    budget: str = "quick",
    seeds: int | None = None,
    out: Path = Path("runs", "paper"),
    stored: Path | None = None,
    ray_address: str | None = None,
    cores: int = 1,
    retries: int = 1,
    yes: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
) -> None:
    """Reproduce figures and theorems of the paper; `hem paper list` names them.

    Args:
        names: Experiments such as fig-3a or theorem-1; list, to see them; or all.
        budget: smoke only checks that everything runs, quick gives the picture, full is for a
            cluster.
        seeds: Number of seeds, from 20 on; by default what the experiment says.
        out: Folder of pictures, tables and runs. Experiments in one folder share runs.
        stored: Folder of records of finished runs, such as a checkout's experiments/results/paper:
            what they have is not trained again.
        ray_address: Address of a Ray cluster; by default this machine.
        cores: Cores per run, with Ray; without it, a run has the whole machine.
        retries: How often a failed run is tried again, from its last checkpoint.
        yes: Begin even what costs more than a day of one core.
        dry_run: Print what it would cost, and train nothing.
        quiet: Do not show progress.
    """
    from hem.paper import experiment_file
    from hem.paper.collect import read_stored
    from hem.paper.experiment_file import BUDGETS, read_named
    from hem.paper.plan import plan
    from hem.paper.theory.statements import of, statements

    require(budget in BUDGETS, f"budget must be one of {', '.join(BUDGETS)}, not {budget!r}")
    require(seeds is None or seeds >= 1, f"seeds must be at least 1, not {seeds}")
    require(bool(names), "which experiment? `hem paper list` names them")
    if names == ("list",):
        _list()
        return
    asked = experiment_file.names() if names == ("all",) else list(dict.fromkeys(names))
    files = {name: read_named(name) for name in asked}
    places = {name: plan(file, budget, out, seeds) for name, file in files.items()}
    known = read_stored(stored)
    runs = _announced(places, known, yes or dry_run)
    if dry_run:
        return
    if runs:
        _train(runs, out, ray_address, cores, retries, quiet)
    proved = list(statements(SEED)) if any(file.statements for file in files.values()) else []
    everything = [
        _shown(name, file, of(file.statements, proved), budget, places[name], known, out)
        for name, file in files.items()
    ]
    if not all(everything):
        sys.exit(1)


def _list() -> None:
    from hem.paper.experiment_file import names, read_named

    for name in names():
        file = read_named(name)
        print(f"{name:<16}{file.source:<28}{file.title}")


def _announced(places: dict[str, list[Place]], stored: Stored, agreed: bool) -> list[PlannedRun]:
    """Say what the runs cost; returns those that are not stored.

    Raises:
        UserError: that is long, and nobody has agreed.
    """
    from hem.paper.cost import cost
    from hem.paper.plan import distinct

    runs = distinct(place for found in places.values() for place in found)
    if not runs:
        return []
    here = [run for run in runs if stored.find(run) is None]
    what = cost(here)
    finished = len(runs) - len(here) + what.finished
    print(f"{len(runs)} runs, {finished} of them finished; the others cost about "
          f"{what.hours:.1f} core-hours", flush=True)  # fmt: skip
    if what.hours > LONG and not agreed:
        raise UserError(
            f"this costs about {what.hours:.0f} core-hours: add --yes to begin, or ask for fewer "
            "--seeds or a smaller --budget"
        )
    return here


def _train(
    runs: list[PlannedRun],
    out: Path,
    ray_address: str | None,
    cores: int,
    retries: int,
    quiet: bool,
) -> None:
    from hem.runs.suites.suite import engine_for, run_suite

    outcome = run_suite(runs, out, engine_for(ray_address, cores), retries, quiet=quiet)
    for folder, error in outcome.failed.items():
        print(f"hem: {folder} failed: {error}", file=sys.stderr)


def _shown(
    name: str,
    file: ExperimentFile,
    proved: list[Statement],
    budget: str,
    places: list[Place],
    stored: Stored,
    out: Path,
) -> bool:
    """Print and draw what an experiment gave; returns whether all is there, and holds."""
    from hem.paper.collect import collect
    from hem.paper.picture import draw
    from hem.paper.table import table
    from hem.paper.theory import figures, statements
    from hem.system.atomic_io import named_errors, write_text

    print(f"\n{name}: {file.title} ({file.source})\n")
    with named_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if proved:
        print(statements.text(proved))
        for picture in figures.draw(out, SEED, file.pictures):
            print(f"Wrote {picture}")
    record = collect(name, budget, places, stored)
    if record.groups:
        text, picture = table(record, file.x, file.success), out / f"{name}-{budget}.png"
        print(text)
        draw(record, file.x, file.y, picture)
        with named_errors(out):
            write_text(out / f"{name}-{budget}.md", f"{text}\n")
        print(f"Wrote {picture}")
    finished = sum(len(group.runs) for group in record.groups)
    if finished < len(places):
        print(f"{finished} of {len(places)} runs are complete: the same command continues")
    return finished == len(places) and all(statement.holds for statement in proved)
