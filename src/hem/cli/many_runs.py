"""The commands on many runs: suites, sweeps and tables. Each one imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import json as jsons
import shlex
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from hem.cli.looking import RunFolders


def suite(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    out: Path | None = None,
    ray_address: str | None = None,
    cores: int = 1,
    retries: int = 1,
    success: float = 0.95,
    quiet: bool = False,
) -> None:
    """Train every run that a TOML file asks for: in turn or, if Ray is installed, side by side.

    Args:
        file: Suite file: base settings, a grid, variants and seeds.
        out: Root of the run folders; by default runs/ and the file's name.
        ray_address: Address of a Ray cluster; by default this machine.
        cores: Cores per run, with Ray; without it, a run has the whole machine.
        retries: How often a failed run is tried again, from its last checkpoint.
        success: Success rate that "steps to" asks for.
        quiet: Do not show progress.
    """
    from hem.runs.suites import summary
    from hem.runs.suites.suite import engine_for, run_suite
    from hem.runs.suites.suite_file import read_suite

    root = Path("runs", file.stem) if out is None else out
    runs = read_suite(file, root)
    outcome = run_suite(runs, root, engine_for(ray_address, cores), retries, success, quiet)
    complete = [run.folder for run in runs if str(run.folder) not in outcome.failed]
    if complete:
        print(summary.markdown(summary.compare(complete, success), success))
    for folder, error in outcome.failed.items():
        print(f"hem: {folder} failed: {error}", file=sys.stderr)
    curves = f"hem plot {shlex.quote(str(root))}"
    print(f"{outcome.complete} of {len(runs)} runs are complete. Curves: {curves}")
    if outcome.failed:
        sys.exit(1)


def sweep(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    out: Path | None = None,
    ray_address: str | None = None,
    cores: int = 1,
    quiet: bool = False,
) -> None:
    """Search for good settings, in ranges that a TOML file gives; hopeless trials end early.

    Args:
        file: Sweep file: base settings, ranges, the number of trials and the sampler.
        out: Root of the trials' run folders; by default runs/ and the file's name.
        ray_address: Address of a Ray cluster; by default this machine.
        cores: Cores per trial, with Ray; without it, a trial has the whole machine.
        quiet: Do not show progress.
    """
    from hem.runs.suites import sweep as search
    from hem.runs.suites.suite import engine_for
    from hem.runs.suites.sweep_file import read_sweep

    root = Path("runs", file.stem) if out is None else out
    asked = read_sweep(file)
    trials = search.run_sweep(asked, str(file), root, engine_for(ray_address, cores), quiet)
    print(search.markdown(trials))
    best, failed = trials[0], {t.run.folder: t.error for t in trials if t.error is not None}
    if best.error is None:
        print(f"Best: {best.run.folder}. Its settings: {best.flags}")
    for folder, error in failed.items():
        print(f"hem: {folder} failed: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


def compare(
    runs: RunFolders,
    success: float = 0.95,
    json: bool = False,
) -> None:
    """A table of runs: success with an interval, and steps and seconds to a success rate.

    Args:
        runs: Run folders, or folders of run folders. Runs that differ only in their seed become one
            line.
        success: Success rate that must be reached in two evaluations in a row.
        json: Print JSON.
    """
    from hem.runs.suites import summary

    lines = summary.compare(list(runs), success)
    print(jsons.dumps(summary.plain(lines)) if json else summary.markdown(lines, success))
