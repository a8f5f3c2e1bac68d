"""HTML and SVG as trees of elements, so that no text can become markup, whatever its source."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Content = str | Element


def element(tag: str, *children: Content, **attributes: str | float | None) -> Element:
    """An element with these children, texts among them.

    Attributes are named as in Python: ``class_`` and ``aria_label`` are ``class`` and
    ``aria-label``. Those that are None are left out.
    """
    found = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = value if isinstance(value, str) else f"{value:g}"
            found.set(name.rstrip("_").replace("_", "-"), _printable(text))
    for child in children:
        if isinstance(child, Element):
            found.append(child)
        elif len(found):
            found[-1].tail = (found[-1].tail or "") + _printable(child)
        else:
            found.text = (found.text or "") + _printable(child)
    return found


def html(*contents: Content) -> str:
    """Elements and texts as HTML."""
    whole = element("div", *contents)
    text = ElementTree.tostring(whole, encoding="unicode", method="html")
    return text.removeprefix("<div>").removesuffix("</div>")


def table(caption: str, heads: Sequence[Content], rows: Sequence[Sequence[Content]]) -> Element:
    """A table whose first column names its rows; on a narrow screen, it scrolls by itself.

    Args:
        caption: what is in it.
        heads: of the columns.
        rows: cells.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in heads))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _printable(text: str) -> str:
    """The text with control characters escaped, but for the ends of lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
