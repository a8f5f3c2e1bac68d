"""Failures of third-party environments as one-line errors for their authors. No JAX here."""

from __future__ import annotations

import shlex
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hem.envs.adapters.env_id import EnvId
from hem.envs.spaces.batches import MismatchError
from hem.errors import EnvError, UserError

LONGEST = 300  # characters of an error's message
SHOWN = 6  # numbers of a goal


def describe(error: BaseException, origin: EnvId) -> str:
    """The error's type and message, and the line of the environment's code that raised it."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if len(said) > LONGEST:
        said = said[:LONGEST] + " ..."
    if isinstance(error, SyntaxError):
        return said  # which includes the file and the line
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == origin.place]
    frames = own or [f for f in frames if Path(f.filename).parent != Path(__file__).parent]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return said + where


def failed(origin: EnvId, when: str, error: BaseException) -> EnvError:
    """The error to raise if the environment's code raised one.

    Args:
        origin: the environment.
        when: the call that failed, such as "in step 3 of an episode".
        error: what it raised.
    """
    return EnvError(f"{origin.short} failed {when}: {describe(error, origin)}; {remedy(origin)}")


def unfit(origin: EnvId, when: str, complaint: str) -> EnvError:
    """The error to raise if an environment returned something invalid."""
    return EnvError(f"{origin.short} returned invalid data {when}: {complaint}; "
                      f"{remedy(origin)}")  # fmt: skip


@contextmanager
def attributed_to(origin: EnvId, when: str) -> Iterator[None]:
    """Turn any error of the environment's code, or in what it returns, into a one-line error.

    Raises:
        EnvError: there was such an error.
    """
    try:
        yield
    except UserError:
        raise
    except MismatchError as error:
        raise unfit(origin, when, str(error)) from error
    except (Exception, SystemExit) as error:
        raise failed(origin, when, error) from error


def remedy(origin: EnvId) -> str:
    """What to do about an environment that fails."""
    return (
        "fix it" if origin.given else f"fix it (`hem check {shlex.quote(origin.short)}` may help)"
    )


def without_remedy(origin: EnvId, text: str) -> str:
    """The message without its remedy, for ``hem check`` itself."""
    return text.removesuffix(f"; {remedy(origin)}")


def shown(goal: np.ndarray) -> str:
    """A goal, abbreviated to a few numbers."""
    numbers = [f"{x:.4g}" for x in goal.ravel()[:SHOWN]]
    return f"[{', '.join(numbers)}{', ...' if goal.size > SHOWN else ''}]"


def ended(status: int) -> str:
    """How a process ended, from its exit status."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
