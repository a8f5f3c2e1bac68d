"""What mkdocs needs beyond its settings: links that lead out of docs/ have no page to lead to."""

import re
from pathlib import Path
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Leave of a link to a file outside docs/ its text, if that file exists.

    A link to one that does not exist stays, and fails ``mkdocs build --strict``.
    """
    docs = Path(config.docs_dir)
    here = (docs / page.file.src_uri).parent

    def text_of(link: re.Match) -> str:
        target = (here / link[2]).resolve()
        is_outside = not target.is_relative_to(docs.resolve())
        return link[1] if is_outside and target.exists() else link[0]

    return OUTSIDE.sub(text_of, markdown)
