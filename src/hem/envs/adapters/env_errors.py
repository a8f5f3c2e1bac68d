"""What went wrong in somebody's environment, in a line that its author can act on. No JAX here."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hem.envs.adapters.env_id import EnvId
from hem.envs.spaces.codec import MismatchError
from hem.errors import UserError, WorldError

LONGEST = 300  # characters of an error's message
SHOWN = 6  # numbers of a goal


def describe(error: BaseException, origin: EnvId) -> str:
    """The error's type and message, and the line of the author's code that it came from."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if len(said) > LONGEST:
        said = said[:LONGEST] + " ..."
    if isinstance(error, SyntaxError):
        return said  # which has the file and the line
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == origin.place]
    frames = own or [f for f in frames if Path(f.filename).parent != Path(__file__).parent]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return said + where


def failed(origin: EnvId, moment: str, error: BaseException) -> WorldError:
    """The error to raise where the author's code raised one.

    Args:
        origin: whose code.
        moment: when, as in "in step 3 of an episode".
        error: what it raised.
    """
    return WorldError(
        f"{origin.short} failed {moment}: {describe(error, origin)}; {remedy(origin)}"
    )


def unfit(origin: EnvId, moment: str, complaint: str) -> WorldError:
    """The error to raise where an environment returned what cannot be used."""
    return WorldError(f"{origin.short} returned what cannot be used {moment}: {complaint}; "
                      f"{remedy(origin)}")  # fmt: skip


@contextmanager
def attributed_to(origin: EnvId, moment: str) -> Iterator[None]:
    """Whatever the author's code raises, or returns, in here is one line.

    Raises:
        WorldError: it did.
    """
    try:
        yield
    except UserError:
        raise
    except MismatchError as error:
        raise unfit(origin, moment, str(error)) from error
    except (Exception, SystemExit) as error:
        raise failed(origin, moment, error) from error


def remedy(origin: EnvId) -> str:
    """What to do about an environment that fails."""
    return f"fix it, `hem check {origin.short}` may help"


def without_remedy(origin: EnvId, text: str) -> str:
    """What is wrong, where the remedy is what its author is doing already."""
    return text.removesuffix(f"; {remedy(origin)}")


def shown(goal: np.ndarray) -> str:
    """A goal in a few numbers."""
    numbers = [f"{x:.4g}" for x in goal.ravel()[:SHOWN]]
    return f"[{', '.join(numbers)}{', ...' if goal.size > SHOWN else ''}]"


def ended(status: int) -> str:
    """How a process ended, by its exit status."""
    if status >= 0:
        return f"ended its process with status {status}"
    try:
        return f"had its process killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"had its process killed by signal {-status}"
