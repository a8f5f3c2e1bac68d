"""Arguments of an environment's constructor, as ``name=value`` texts. No JAX here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hem.errors import UserError, require
from hem.system.conversion import plain


def read_kwargs(pairs: Iterable[str]) -> dict[str, Any]:
    """Keyword arguments from ``name=value`` texts; values are JSON, or else the text itself.

    Raises:
        UserError: something that is no such pair.
    """
    kwargs = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        require(
            bool(equals) and name.isidentifier(),
            f"env-kwargs takes name=value pairs, not {pair!r}",
        )
        try:
            kwargs[name] = _value(value)
        except RecursionError:
            raise UserError(f"the value of {name} in env-kwargs nests too deeply") from None
    return kwargs


def write_kwargs(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """The inverse of ``read_kwargs``."""
    try:
        return tuple(f"{name}={json.dumps(value)}" for name, value in plain(kwargs).items())
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"env_kwargs must be plain data ({error})") from error


def has_text(pair: str) -> bool:
    """Whether a ``name=value`` text gives a text, or a dict, by itself or in a list."""
    return _contains_text(_value(pair.partition("=")[2]))


def _value(text: str) -> Any:
    """What a text says as JSON; Python's own words for its constants are understood."""
    words = {"True": True, "False": False, "None": None}
    try:
        return words[text] if text in words else json.loads(text)
    except ValueError:
        return text


def _contains_text(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    return any(map(_contains_text, value)) if isinstance(value, list) else isinstance(value, str)
