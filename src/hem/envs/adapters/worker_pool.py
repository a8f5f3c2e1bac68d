"""Worker processes: each runs some of the slots, and a crash affects only its own.

A process that dies or hangs is restarted at the next reset; its running episodes are lost. A step
is one message to each process and one back, no larger than what its slots returned.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Sequence
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from hem.envs.adapters import env_errors
from hem.envs.adapters.env_id import EnvSpec, sendable
from hem.envs.adapters.env_slots import StepResult
from hem.errors import EnvError, UserError
from hem.system.subprocesses import Link, finish, has_ended, launch

MAX_RESTARTS = 3  # deaths in a row, without a finished episode, before giving up
SHUTDOWN_S = 2.0  # seconds that a process has to close its environments
EXIT_GRACE_S = 0.1  # seconds that a silent process has to exit by itself with its status
STARTING = 300.0  # minimum seconds that a process has to start and make an environment
LOOK = 1.0  # seconds between checks whether silent processes are alive


class EnvWorkers:
    """Slots distributed over processes: slot s belongs to process s modulo their number."""

    def __init__(self, plan: EnvSpec, processes: int, patience: float, blank: StepResult) -> None:
        """Start nothing yet: processes start at the first reset.

        Args:
            plan: what each makes for its slots.
            processes: maximum number.
            patience: seconds without an answer after which one counts as hung.
            blank: a row of frames for lost episodes.
        """
        self.plan, self._patience, self._blank = plan, patience, blank
        self._links: list[Link | None] = [None] * processes
        self._deaths = [0] * processes  # since each last finished an episode
        weakref.finalize(self, _end, self._links)

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        for w, link in enumerate(self._links):
            if link is not None:
                self._deaths[w] = 0
        slot_owners, answers = self._slot_owners(slots), {}
        while missing := slot_owners.keys() - answers.keys():
            self._start(missing)
            answers |= self._ask(
                {
                    w: (
                        "reset",
                        [slots[i] for i in slot_owners[w]],
                        [seeds[i] for i in slot_owners[w]],
                    )
                    for w in missing
                    if self._links[w] is not None
                }
            )
        return self._together(slot_owners, answers, len(slots))

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        slot_owners = self._slot_owners(slots)
        answers = self._ask(
            {
                w: ("step", [slots[i] for i in rows], actions[rows])
                for w, rows in slot_owners.items()
                if self._links[w] is not None
            }
        )
        return self._together(slot_owners, answers, len(slots))

    def render(self, slot: int) -> Any:
        home = slot % len(self._links)
        answers = self._ask({home: ("render", slot)}) if self._links[home] else {}
        if home not in answers:
            raise EnvError(f"{self.plan.origin.short} died or hung in render()")
        return answers[home]

    def close(self) -> None:
        _end(self._links)

    @property
    def processes(self) -> list[int]:
        """The ids of the running processes."""
        return [link.process.pid for link in self._links if link is not None]

    def _slot_owners(self, slots: Sequence[int]) -> dict[int, list[int]]:
        """For each process that owns one of ``slots``, their positions in the sequence."""
        slot_owners: dict[int, list[int]] = {}
        for i, slot in enumerate(slots):
            slot_owners.setdefault(slot % len(self._links), []).append(i)
        return slot_owners

    def _together(
        self, slot_owners: dict[int, list[int]], answers: dict[int, StepResult], n: int
    ) -> StepResult:
        """The answers in the order of slots; lost if there is none."""
        frames = StepResult(*(np.repeat(x, n, axis=0) for x in self._blank))
        for w, rows in slot_owners.items():
            if w in answers:
                for whole, part in zip(frames, answers[w], strict=True):
                    whole[rows] = part
        return frames

    def _start(self, needed: Iterable[int]) -> None:
        """Start these processes if needed, each with an environment."""
        new = [w for w in needed if self._links[w] is None]
        for w in new:
            self._links[w] = launch("hem.envs.adapters.worker_main")
        self._ask(dict.fromkeys(new, ("open", sendable(self.plan))), max(self._patience, STARTING))

    def _ask(self, messages: dict[int, tuple], patience: float | None = None) -> dict[int, Any]:
        """Send each process its message, and return the answers; dead processes have none.

        Args:
            messages: for each process, a method and its arguments.
            patience: seconds to wait, if other than for a step.

        Raises:
            EnvError: an environment failed, or a process died too often.
        """
        pending: dict[Any, int] = {}
        answers: dict[int, tuple[str, Any]] = {}
        try:
            for w, message in messages.items():
                link = self._links[w]
                assert link is not None
                try:
                    link.connection.send(message)
                    pending[link.connection] = w
                except OSError:
                    self._mark_dead(w)
            deadline = time.monotonic() + (patience or self._patience)
            while pending:
                left = deadline - time.monotonic()
                ready = wait(list(pending), max(0.0, min(left, LOOK)))
                if not ready:
                    self._bury_silent(pending, hung=left <= 0)
                for connection in ready:
                    w = pending.pop(connection)
                    try:
                        answers[w] = connection.recv()  # pyright: ignore
                    except (EOFError, OSError):
                        self._mark_dead(w)
        except BaseException:
            for w in pending.values():  # otherwise their answers would be mistaken for later ones
                _kill(self._links, w)
            raise
        for kind, value in answers.values():
            if kind != "done":
                raise {"env": EnvError, "user": UserError}[kind](value)
        return {w: value for w, (_, value) in answers.items()}

    def _bury_silent(self, pending: dict[Any, int], hung: bool) -> None:
        """Mark ended processes, or all if they hung, as dead: a child may keep a socket open."""
        for connection, w in list(pending.items()):
            link = self._links[w]
            assert link is not None
            if hung or has_ended(link):
                del pending[connection]
                self._mark_dead(w, hung)

    def _mark_dead(self, w: int, hung: bool = False) -> None:
        """Record a death.

        Raises:
            EnvError: there were too many.
        """
        code = _kill(self._links, w)
        self._deaths[w] += 1
        if self._deaths[w] < MAX_RESTARTS:
            return
        cause = f"did not respond for {self._patience:g} s" if hung else env_errors.ended(code)
        raise EnvError(
            f"{self.plan.origin.short} {cause} {MAX_RESTARTS} times without finishing an episode; "
            "run it with --env-workers 0 to debug it"
            + (", or give it more time with --patience" if hung else "")
        )


def _kill(links: list[Link | None], w: int) -> int:
    """Stop a process, and return its exit status."""
    link, links[w] = links[w], None
    assert link is not None
    return finish(link, time.monotonic() + EXIT_GRACE_S)


def _end(links: list[Link | None]) -> None:
    """Let all processes close their environments and exit."""
    open_links = [link for link in links if link is not None]
    links[:] = [None] * len(links)
    for link in open_links:
        link.connection.close()
    deadline = time.monotonic() + SHUTDOWN_S
    for link in open_links:
        finish(link, deadline)
