"""A report of runs as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hem.errors import require, within_memory
from hem.looking.findings import examine
from hem.looking.page import page
from hem.runs.run import Run
from hem.system.atomic_io import named_errors, write_text
from hem.system.conversion import checked
from hem.viz.curve_groups import grouped


@checked
@within_memory()
def report(
    runs: Any,
    out: str | Path = "report.html",
    episodes: int = 400,
    seed: int = 0,
    success: float = 0.95,
    trust: bool = False,
    env: Any = None,
    algo: Any = None,
    strategy: Any = None,
    done: Any = lambda share: None,
) -> Path:
    """Write a report of runs: curves, a film, settings, and in which part of goal space they fail.

    Args:
        runs: a run or its folder, a folder of run folders, or a list of these. Runs that differ
            only in their seed are shown as one.
        out: the page, one ``.html`` file that needs no other and no network. It is replaced only
            by a complete one.
        episodes: fresh episodes on which each run's policy is evaluated; 0: no policy is run, so
            there is no film and no map, and no code of the run is needed.
        seed: seed of the episodes, which are those of ``hem.evaluate``.
        success: the success rate that "steps to" asks for, in two evaluations in a row.
        trust: allow environment code that a run's configuration names.
        env: as in ``resume``, for all of the runs.
        algo: likewise.
        strategy: likewise.
        done: called with the share of the work that is done, 0 to 1.

    Returns:
        The path of the page.

    Raises:
        UserError: something is not a run folder, has no evaluation, is not trusted or cannot be
            evaluated; or ``out`` cannot be written.
    """
    out = Path(out)
    require(
        out.suffix.lower() in (".html", ".htm"),
        f"cannot write {out}: its name must end in .html",
    )
    require(out.parent.is_dir(), f"cannot write {out}: there is no folder {out.parent}")
    require(episodes >= 0, f"episodes must be at least 0, not {episodes}")
    require(0 <= seed < 2**32, f"seed must be in [0, 2^32), not {seed}")
    require(0 < success <= 1, f"success must be above 0, at most 1, not {success}")
    groups = grouped(
        [_folder(run) for run in (runs if isinstance(runs, (list, tuple)) else [runs])]
    )
    objects = {"env": env, "algo": algo, "strategy": strategy}

    def share(i: int) -> Callable[[float], Any]:
        return lambda of_group: done((i + of_group) / len(groups))

    findings = [
        examine(
            " ".join(name.split()), i, curves, lambda folder: Run(folder, trust, objects),
            episodes, seed, success, share(i),
        )
        for i, (name, curves) in enumerate(groups)
    ]  # fmt: skip
    text = page(findings, success, episodes, seed)
    with named_errors(out):
        write_text(out, text)
    return out


def _folder(run: Any) -> Path:
    folder = run.folder if isinstance(run, Run) else run
    require(
        isinstance(folder, (str, Path)),
        f"runs must be run folders or runs, not {type(run).__name__}",
    )
    return Path(folder)
