"""Markdown in which foreign text is shown as it is, and can be nothing but text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hem.errors import one_line


def code(text: object) -> str:
    """Text as inline code, in a line: neither a link nor HTML begins in it."""
    shown = one_line(str(text)) or " "
    fence = _fence(shown, 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def block(lines: Sequence[str], language: str) -> str:
    """Lines as a block of code."""
    text = "\n".join(map(one_line, lines))
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _fence(text: str, least: int) -> str:
    """More backticks in a row than the text has anywhere."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
