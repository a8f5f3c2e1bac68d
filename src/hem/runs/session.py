"""What ends a session of training before its budget is spent: a success rate, a time, a callback.

Such an end is a clean one: everything is saved, and resuming continues exactly from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hem.errors import UserError, require
from hem.system import validation
from hem.training import metrics
from hem.training.schedule import Counters

if TYPE_CHECKING:  # worker processes receive a session before they import JAX
    from hem.runs.run import Run
    from hem.training.loop import Step
    from hem.training.metrics import MetricsRow

IN_A_ROW = 2  # evaluations: a single one may be lucky


class Iteration(NamedTuple):
    """What a callback receives after each iteration."""

    counters: Counters  # progress so far
    metrics: MetricsRow  # the row of metrics.jsonl; with eval/success_rate if there was one
    folder: Path  # of the run


Callback = Callable[[Iteration], bool | None]


@dataclass(frozen=True)
class Session:
    """One call that trains a run, from where it is."""

    until: float | None = None
    """Stop when two evaluations in a row reach this success rate."""
    max_time: float | None = None
    """Stop after this many seconds; the iteration in progress is completed."""
    callbacks: tuple[Callback, ...] = ()
    """Called after each iteration; False stops. Once everything is saved, those that have a method
    ``on_training_end(run, error)`` are told so, and what ended training early: an error or None."""

    def __post_init__(self) -> None:
        if self.until is not None:
            require(0 < self.until <= 1, f"until must be in (0, 1], not {self.until}")
        if self.max_time is not None:
            validation.positive(self, "max_time")

    def end(self, run: Run, error: BaseException | None) -> None:
        """Tell the callbacks that ask for it that training is over."""
        for callback in self.callbacks:
            if hasattr(callback, "on_training_end"):
                callback.on_training_end(run, error)  # pyright: ignore[reportFunctionMemberAccess]


class Callbacks:
    """All callbacks of a session as one, which keeps the error of one that fails."""

    def __init__(self, functions: Iterable[Callback]) -> None:
        self._functions = tuple(functions)
        self.error: BaseException | None = None  # to be raised once everything is saved

    def __call__(self, iteration: Iteration) -> bool:
        """Whether to continue."""
        try:
            answers = [_answer(function(iteration)) for function in self._functions]
            return all(answers)
        except BaseException as error:
            self.error = error
            return False


class StopRule:
    """Whether a session ends after an iteration, and why."""

    def __init__(
        self, session: Session, folder: Path, successes: Iterable[float], callbacks: Callbacks
    ) -> None:
        """Start the clock.

        Args:
            session: what was requested.
            folder: the run's folder.
            successes: the success rates of the run's evaluations so far.
            callbacks: those of the session.
        """
        self._session, self._folder, self._callbacks = session, folder, callbacks
        self._successes = list(successes)
        self._began = time.monotonic()
        self.reason = self._rate_reached()

    def __call__(self, step: Step) -> bool:
        """Whether it ends after this iteration, which the callbacks are told."""
        if (success := step.row.get("eval/success_rate")) is not None:
            self._successes.append(success)
        asked = not self._callbacks(Iteration(step.counters, dict(step.row), self._folder))
        self.reason = self._rate_reached() or self._time_spent()
        if asked:
            self.reason = "a callback " + ("failed" if self._callbacks.error else "stopped it")
        return self.reason is not None

    def _rate_reached(self) -> str | None:
        until, latest = self._session.until, self._successes[-IN_A_ROW:]
        if until is None or len(latest) < IN_A_ROW or not metrics.is_at(min(latest), until):
            return None
        return f"{IN_A_ROW} evaluations in a row reached a success rate of {until:g}"

    def _time_spent(self) -> str | None:
        limit = self._session.max_time
        if limit is None or time.monotonic() - self._began < limit:
            return None
        return f"{limit:g} seconds have passed"


def callbacks_of(given: Any) -> tuple[Callback, ...]:
    """The callbacks that a program gave: None, a function or a list of functions.

    Raises:
        UserError: it is none of these.
    """
    listed = [] if given is None else given if isinstance(given, (list, tuple)) else [given]
    require(
        all(callable(function) for function in listed),
        f"callback must be a function or a list of functions, not {given!r}",
    )
    return tuple(listed)


def _answer(answer: Any) -> bool:
    """What a callback returned, as whether to continue."""
    if answer is None:
        return True
    if isinstance(answer, (bool, np.bool_)):
        return bool(answer)
    raise UserError(
        f"a callback returned {answer!r}: it must return False to stop, or None or True to continue"
    )
