"""Search for good settings: many short trials, of which the better halves go on.

Successive halving (Jamieson & Talwalkar 2016): all trials are trained with a quarter of the budget,
the better half with half of it, and the better half of those with all. What a trial reached decides
by its success at its last evaluation, then by the best one. Nothing is repeated when a sweep is
started again: trials are run folders, and the settings of each are stored beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hem.errors import require
from hem.runs.run_folder import on_disk
from hem.runs.suites.engines import InTurn, OnRay
from hem.runs.suites.samplers import SAMPLERS
from hem.runs.suites.suite import run_suite
from hem.runs.suites.suite_file import PlannedRun, planned
from hem.runs.suites.summary import reached
from hem.runs.suites.sweep_file import Sweep
from hem.system.atomic_io import write_json
from hem.system.parsing import AbsentError, read_json

SHARES = (0.25, 0.5, 1.0)  # of the budget, at each stage
KEPT = 0.5  # of the trials, from one stage to the next


class Trial(NamedTuple):
    """Settings that were tried, and what they reached."""

    number: int
    settings: dict[str, Any]  # those that were searched
    share: float  # of the budget that it was given
    success: float  # at its last evaluation; 0 if it failed
    best: float
    folder: Path


def run_sweep(
    sweep: Sweep, source: str, out: Path, engine: InTurn | OnRay, quiet: bool = False
) -> list[Trial]:
    """Search, and return all trials, the best first.

    Args:
        sweep: what to search.
        source: what messages call it.
        out: the root of the trials' run folders.
        engine: where they are trained.
        quiet: show nothing.

    Raises:
        UserError: settings are impossible, or as from ``run_suite``.
        KeyboardInterrupt: stopped; the trials in progress have saved everything.
    """
    sampler = SAMPLERS[sweep.sampler](sweep.space, sweep.seed)
    tried: list[Trial] = []
    with engine:
        wave = max(1, engine.at_once)
        for first in range(0, sweep.trials, wave):
            numbers = range(first, min(first + wave, sweep.trials))
            stored = {n: _stored(out, n) for n in numbers}
            new = iter(sampler.ask([n for n in numbers if stored[n] is None]))
            chosen = {n: next(new) if stored[n] is None else stored[n] for n in numbers}
            for trial in _stage(sweep, source, out, chosen, SHARES[0], engine, quiet):
                sampler.tell(trial.settings, trial.success)
                tried.append(trial)
        going_on, finished = _ranked(tried), []
        for share in SHARES[1:]:
            kept = max(1, round(KEPT * len(going_on)))
            finished, going_on = [*going_on[kept:], *finished], going_on[:kept]
            chosen = {trial.number: trial.settings for trial in going_on}
            going_on = _ranked(_stage(sweep, source, out, chosen, share, engine, quiet))
    return [*going_on, *finished]


def _stage(
    sweep: Sweep,
    source: str,
    out: Path,
    chosen: dict[int, Any],
    share: float,
    engine: InTurn | OnRay,
    quiet: bool,
) -> list[Trial]:
    """Train these trials, by number, with a share of the budget."""
    budget = max(1, round(share * sweep.base["env_steps"]))
    runs: dict[int, PlannedRun] = {}
    for number, settings in chosen.items():
        name = _name(number)
        values = {"seed": sweep.seed} | sweep.base | settings | {"env_steps": budget}
        runs[number] = planned(name, values, out / name / "run", source)
    with on_disk(out, is_new=True):
        for number, settings in chosen.items():
            (out / _name(number)).mkdir(parents=True, exist_ok=True)
            write_json(out / _name(number) / "settings.json", settings)
    run_suite(list(runs.values()), out, engine, quiet=quiet)
    trials = []
    for number, run in runs.items():
        found = reached(run.folder, 1.0)
        success, best = (0.0, 0.0) if found is None else (found.success, found.best)
        trials.append(Trial(number, dict(chosen[number]), share, success, best, run.folder))
    return trials


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: (-trial.success, -trial.best, trial.number))


def _stored(out: Path, number: int) -> dict[str, Any] | None:
    try:
        return read_json(out / _name(number) / "settings.json", dict[str, Any])
    except AbsentError:
        return None


def _name(number: int) -> str:
    require(number < 10_000, "a sweep has at most 10,000 trials")
    return f"trial-{number:04d}"


def markdown(trials: Sequence[Trial]) -> str:
    """All trials as a table in Markdown, the best first."""
    names = list(trials[0].settings)
    rows = [
        f"| trial | budget | success | best | {' | '.join(names)} |",
        "|---" * (4 + len(names)) + "|",
    ]
    for t in trials:
        values = " | ".join(_short(t.settings[name]) for name in names)
        rows.append(f"| {t.number} | {t.share:.0%} | {t.success:.3f} | {t.best:.3f} | {values} |")
    return "\n".join(rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
