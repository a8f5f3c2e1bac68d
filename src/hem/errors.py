"""The one error that is the user's to fix: a line saying what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 2000  # characters of a line


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it as one line and exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class WorldError(UserError):
    """An environment failed in use. What was learnt before is sound, and can be saved."""


def require(condition: bool, message: str) -> None:
    """Raise ``UserError(message)`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)


@contextmanager
def within_memory() -> Iterator[None]:
    """Turn that there is no memory left into a line that the user can act on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error).lower():
            raise  # JAX has no other type for it
        raise UserError(
            "there is not enough memory: give fewer units to --hidden-dims, or make --batch-size, "
            "--episodes, --updates or --eval-episodes smaller"
        ) from error


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text as a line that a terminal can show, whatever file or environment it came from.

    Lines are joined, what controls a terminal is escaped, and what is too long loses its middle.
    """
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... {text[-half:]}"
    joined = " ".join(line.strip() for line in text.splitlines())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
