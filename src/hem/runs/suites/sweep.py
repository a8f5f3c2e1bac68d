"""Search for good settings: many short trials, of which the better halves go on.

Successive halving (Jamieson & Talwalkar 2016): all trials are trained with a quarter of the budget,
the better half with half of it, and the better half of those with all. What a trial reached decides
by its success at its last evaluation there, then by the best one; a trial that fails goes no
further. Nothing is repeated when a sweep is started again: trials are run folders, and the settings
of each are stored beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hem.errors import require
from hem.runs.run_folder import on_disk
from hem.runs.suites.engines import InTurn, OnRay
from hem.runs.suites.execute import flag
from hem.runs.suites.samplers import SAMPLERS
from hem.runs.suites.suite import run_suite
from hem.runs.suites.suite_file import PlannedRun, planned
from hem.runs.suites.summary import reached
from hem.runs.suites.sweep_file import Space, Sweep
from hem.system.atomic_io import write_json
from hem.system.parsing import AbsentError, read_json

SETTINGS = "settings.json"
SHARES = (0.25, 0.5, 1.0)  # of the budget, at each stage
KEPT = 0.5  # of the trials, from one stage to the next


class Trial(NamedTuple):
    """Settings that were tried, and what they reached."""

    number: int
    settings: dict[str, Any]  # those that were searched
    share: float  # of the budget that it was given
    success: float  # at its last evaluation; 0 if it failed
    best: float
    run: PlannedRun
    error: str | None  # one line, if it failed

    @property
    def flags(self) -> str:
        """Its settings as ``hem train`` takes them."""
        values = {name: self.run.settings.get(name, v) for name, v in self.settings.items()}
        return shlex.join(word for name, v in values.items() for word in flag(name, v))


def run_sweep(
    sweep: Sweep, source: str, out: Path, engine: InTurn | OnRay, quiet: bool = False
) -> list[Trial]:
    """Search, and return all trials, the best first and those that failed last.

    Args:
        sweep: what to search.
        source: what messages call it.
        out: the root of the trials' run folders.
        engine: where they are trained.
        quiet: show nothing.

    Raises:
        UserError: settings are impossible, ``out`` has trials of another search, or as from
            ``run_suite``.
        KeyboardInterrupt: stopped; the trials in progress have saved everything.
    """
    sampler = SAMPLERS[sweep.sampler](sweep.space, sweep.seed)
    stored = {number: _stored(out, number, sweep.space) for number in range(sweep.trials)}
    tried: list[Trial] = []
    with engine:
        wave = max(1, engine.at_once)
        for first in range(0, sweep.trials, wave):
            numbers = range(first, min(first + wave, sweep.trials))
            new = iter(sampler.ask([n for n in numbers if stored[n] is None]))
            chosen = {n: next(new) if stored[n] is None else stored[n] for n in numbers}
            for trial in _stage(sweep, source, out, chosen, SHARES[0], engine, quiet):
                sampler.tell(trial.settings, trial.success)
                tried.append(trial)
        going_on, ended = _ranked(tried), []
        for share in SHARES[1:]:
            trained = sum(trial.error is None for trial in going_on)
            kept = min(trained, max(1, round(KEPT * len(going_on))))
            ended, going_on = [*going_on[kept:], *ended], going_on[:kept]
            chosen = {trial.number: trial.settings for trial in going_on}
            if chosen:
                going_on = _ranked(_stage(sweep, source, out, chosen, share, engine, quiet))
    return sorted([*going_on, *ended], key=lambda trial: trial.error is not None)


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
    budget = max(1, round(share * sweep.base[sweep.budget_name]))
    runs: dict[int, PlannedRun] = {}
    for number, settings in chosen.items():
        name = _name(number)
        values = {"seed": sweep.seed} | sweep.base | settings | {sweep.budget_name: budget}
        runs[number] = planned(name, values, out / name / "run", source)
    with on_disk(out):
        for number, settings in chosen.items():
            (out / _name(number)).mkdir(parents=True, exist_ok=True)
            write_json(out / _name(number) / SETTINGS, settings)
    failed = run_suite(list(runs.values()), out, engine, quiet=quiet).failed
    trials = []
    for number, run in runs.items():
        error = failed.get(str(run.folder))
        found = None if error else reached(run.folder, 1.0, budget)
        success, best = (0.0, 0.0) if found is None else (found.success, found.best)
        trials.append(Trial(number, dict(chosen[number]), share, success, best, run, error))
    return trials


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda t: (t.error is not None, -t.success, -t.best, t.number))


def _stored(out: Path, number: int, space: Space) -> dict[str, Any] | None:
    """The settings of a trial that an earlier call has drawn; None if none has.

    Raises:
        UserError: they are not in the space that is searched now.
    """
    folder = out / _name(number)
    try:
        found = read_json(folder / SETTINGS, dict[str, Any])
    except AbsentError:
        return None
    fine = [name for name in space if name in found and space[name].has(found[name])]
    others = ", ".join(sorted({*space, *found} - {*fine}))
    require(
        not others,
        f"{folder} is a trial of another search (of {others}): give another --out, or move it away",
    )
    return found


def _name(number: int) -> str:
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
        rates = f"{t.success:.3f} | {t.best:.3f}" if t.error is None else "failed | "
        rows.append(f"| {t.number} | {t.share:.0%} | {rates} | {values} |")
    return "\n".join(rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
