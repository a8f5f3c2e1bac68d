"""The error that the user can fix: one line that says what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 2000  # characters in a line


class UserError(ValueError):
    """Bad input or setup. The command line prints it as one line and exits with status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class EnvError(UserError):
    """An environment failed while running. What was learned before is valid and can be saved."""


class NotStartedError(UserError):
    """A run could not begin; it leaves no folder."""


def require(condition: bool, message: str) -> None:
    """Raise ``UserError(message)`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)


@contextmanager
def within_memory() -> Iterator[None]:
    """Turn running out of memory into an error that the user can act on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error).lower():
            raise  # JAX has no specific type for it
        raise UserError(
            "not enough memory: reduce --hidden-dims, --batch-size, --episodes-per-iteration, "
            "--updates-per-iteration or --eval-episodes"
        ) from error


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text as one line that is safe to show in a terminal, whatever its source.

    Lines are joined, control characters are escaped, and the middle of long text is cut.
    """
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... {text[-half:]}"
    joined = " ".join(line.strip() for line in text.splitlines())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
