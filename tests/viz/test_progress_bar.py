from __future__ import annotations

import errno
import io

from rich.console import Console

from hem.viz.progress_bar import Bar


def shown(terminal: bool, patience: float, shares=(0.25, 0.5)) -> str:
    """What a bar writes."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=80, color_system=None)
    with Bar("Drawing", console, patience) as bar:
        for share in shares:
            bar(share)
    return screen.getvalue()


def test_a_terminal_is_shown_how_much_is_done():
    text = shown(terminal=True, patience=0)
    assert "Drawing" in text
    assert "50%" in text


def test_what_does_not_take_long_is_not_shown():
    assert shown(terminal=True, patience=1e9) == ""
    assert shown(terminal=True, patience=0, shares=()) == ""


def test_what_is_no_terminal_is_shown_nothing():
    assert shown(terminal=False, patience=0) == ""


def test_a_terminal_that_is_gone_does_no_harm():
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    with Bar("Drawing", Console(file=Gone(), force_terminal=True), patience=0) as bar:
        bar(0.5)
        bar(0.6)
