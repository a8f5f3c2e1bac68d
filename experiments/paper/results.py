"""Stored results: what finished runs are kept as, and how claims ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hem.paper.collect import Stored, collect
from hem.paper.experiment_file import names, read_named
from hem.paper.plan import plan
from hem.paper.records import Group, Kept, Record, read, write
from hem.runs.suites.execute import is_complete

FOLDER = Path(__file__).parents[1] / "results" / "paper"
Results = dict[str, Record]  # by the name of the experiment


class NotTestedError(Exception):
    """What a claim needs is not stored."""


def store(out: Path, budget: str, name: str = "", folder: Path = FOLDER) -> Iterator[str]:
    """Store the finished runs in ``out``; yields a line for each experiment that has any.

    They are added to the stored ones, which count for every experiment that has them. A record of
    more runs is kept: its experiment has changed since.
    """
    known = Stored(stored(folder).values())
    for each in [name] if name else names():
        places = plan(read_named(each), budget, out)
        if not any(is_complete(place.run) for place in places):
            continue
        record = collect(each, budget, places, known)
        file, found = folder / f"{each}.json", finished(record)
        if file.exists() and (before := finished(read(file))) > found:
            yield f"{each}: kept, of {before} runs: here are {found}"
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write(record, file)
        yield f"{each}: {found} of {record.planned} runs"


def stored(folder: Path = FOLDER) -> Results:
    """All records, by name."""
    return {file.stem: read(file) for file in sorted(folder.glob("*.json"))}


def finished(record: Record) -> int:
    """The number of runs in a record."""
    return sum(len(group.runs) for group in record.groups)


def group(
    results: Results, name: str, line: str, panel: str = "", x: float | str | None = None
) -> Group:
    """The runs of a line at a place.

    Raises:
        NotTestedError: there are none.
    """
    for found in results[name].groups if name in results else []:
        if (found.panel, found.line, found.x) == (panel, line, x):
            return found
    raise NotTestedError(f"{name} ({', '.join(filter(None, [panel, line, str(x or '')]))})")


def places(results: Results, name: str) -> list[tuple[str, float | str | None]]:
    """The panels and places of an experiment's groups.

    Raises:
        NotTestedError: it is not stored, or not all of its runs are.
    """
    if name not in results:
        raise NotTestedError(name)
    record = results[name]
    if (runs := finished(record)) < record.planned:
        raise NotTestedError(f"all {record.planned} runs of {name}, of which {runs} are there")
    return list(dict.fromkeys((group.panel, group.x) for group in record.groups))


def last(found: Group, field: str = "success") -> np.ndarray:
    """The success of each run at its last evaluation: f64[runs]."""
    return np.array([getattr(run, field)[-1] for run in found.runs], float)


def at_step(found: Group, env_steps: float) -> np.ndarray:
    """The success of each run after ``env_steps``, between evaluations by a line: f64[runs]."""
    return np.array([np.interp(env_steps, run.env_steps, run.success) for run in found.runs])


def steps_shown(*found: Group) -> int:
    """The environment steps that every run of the groups has."""
    return min(run.env_steps[-1] for group in found for run in group.runs)


def falls(found: Group) -> np.ndarray:
    """How far below an earlier evaluation each run is at most: f64[runs]."""
    return np.array([np.max(np.maximum.accumulate(y) - y) for y in (r.success for r in found.runs)])


def areas(found: Group) -> np.ndarray:
    """How soon each run succeeds: the mean of its success over environment steps, f64[runs]."""
    return np.array([_area(run) for run in found.runs])


def deviations(found: Group, points: int = 40) -> np.ndarray:
    """Deviation of success over runs, f64[points]: at equal distances along environment steps."""
    runs = found.runs
    first, end = max(run.env_steps[0] for run in runs), min(run.env_steps[-1] for run in runs)
    at = np.linspace(first, end, points)
    return np.std([np.interp(at, run.env_steps, run.success) for run in runs], axis=0, ddof=1)


def _area(run: Kept) -> float:
    x, y = np.array([0.0, *run.env_steps]), np.array([0.0, *run.success])
    return float(np.trapezoid(y, x) / x[-1])
