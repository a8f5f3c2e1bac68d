"""What a report says about runs that differ in their seeds only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hem.errors import UserError, one_line, require
from hem.looking import goals
from hem.looking.film import Film, film
from hem.looking.goals import Judged
from hem.runs.manifest import CONFIG, read_manifest
from hem.runs.run import Run
from hem.runs.suites.summary import Reached, interval, reached
from hem.training.evaluation import wilson
from hem.viz.curve_groups import Curve

FILM_SHARE = 0.2  # of the work on a group


class Rate(NamedTuple):
    """A success rate."""

    mean: float
    interval: tuple[float, float] | None  # 95%; None if it is unknown


class Findings(NamedTuple):
    """A group of R runs, each with its best policy so far."""

    name: str
    number: int  # among the groups
    curves: list[Curve]  # R
    manifests: list[dict[str, Any] | None]  # R; None where it cannot be read
    reached: list[Reached]  # R
    judged: list[Judged]  # R, or none if nothing was evaluated
    film: Film | str  # of the first run; a sentence if there is none

    def rate(self, name: str) -> Rate:
        """Success by a field of ``Judged`` and ``Reached``: ``success`` or ``final_success``.

        Of one run, the interval is that of its episodes; of several, that of the mean over runs.
        """
        values = [getattr(found, name) for found in self.judged or self.reached]
        means = np.array([np.mean(value) for value in values])
        if len(means) > 1:
            return Rate(float(means.mean()), interval(means))
        if not self.judged:
            return Rate(float(means[0]), None)
        return Rate(float(means[0]), wilson(int(values[0].sum()), len(values[0])))

    @property
    def seeds(self) -> str:
        """The seeds of the runs, as far as they are known."""
        known = [config["run"].get("seed") for config in self.manifests if config]
        return ", ".join(map(str, known))


def examine(
    name: str,
    number: int,
    curves: list[Curve],
    open_run: Callable[[Path], Run],
    episodes: int,
    seed: int,
    success: float,
    done: Callable[[float], Any],
) -> Findings:
    """Evaluate a group's policies, and draw the first one's film.

    Args:
        name: of the group.
        number: of the group.
        curves: of its runs.
        open_run: opens a run folder.
        episodes: fresh episodes for each policy; 0: no policy is run.
        seed: of the episodes.
        success: the rate that "steps to" asks for.
        done: called with the share that is done.

    Raises:
        UserError: a policy cannot be evaluated.
    """
    folders = [curve.folder for curve in curves]
    found = [run for folder in folders if (run := reached(folder, success)) is not None]
    manifests = [_manifest(folder) for folder in folders]
    judged, picture = [], "No policy was run for this report: it was made with --episodes 0."
    if episodes:
        each = (1 - FILM_SHARE) / len(folders)
        with _advised():
            runs = [run.with_policy(run.policy) for run in map(open_run, folders)]
            for i, run in enumerate(runs):
                judged.append(goals.judge(run, episodes, seed, lambda x, i=i: done(each * (i + x))))
                require(len(judged[-1].goal) > 0, f"every episode of {run.folder} was lost")
        picture = _film(runs[0], seed, lambda x: done(1 - FILM_SHARE * (1 - x)))
    done(1.0)
    return Findings(name, number, curves, manifests, found, judged, picture)


@contextmanager
def _advised() -> Iterator[None]:
    """Say in an error what is possible without running a policy."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{error}. Or give --episodes 0, for a report that runs no policy"
        ) from error


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(folder / CONFIG)
    except UserError:
        return None  # of another version of hem: its curve is good all the same


def _film(run: Run, seed: int, done: Callable[[float], Any]) -> Film | str:
    try:
        return film(run, seed, done)
    except Exception as error:  # whatever drawing somebody's environment leads to
        return f"There is no film: {one_line(str(error), 300) or type(error).__name__}."
