"""Arguments of an environment's constructor, as ``name=value`` strings. No JAX here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hem.errors import UserError, require
from hem.system.conversion import plain


def read_kwargs(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse ``name=value`` strings as keyword arguments; values that are not JSON are strings.

    Raises:
        UserError: one is not such a pair.
    """
    kwargs = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        require(
            bool(equals) and name.isidentifier(),
            f"env-kwargs must be name=value pairs, not {pair!r}",
        )
        try:
            kwargs[name] = _value(value)
        except RecursionError:
            raise UserError(f"the value of {name} in env-kwargs is nested too deeply") from None
    return kwargs


def write_kwargs(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """The inverse of ``read_kwargs``."""
    try:
        return tuple(f"{name}={json.dumps(value)}" for name, value in plain(kwargs).items())
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"env_kwargs must be plain data ({error})") from error


def has_text(pair: str) -> bool:
    """Whether the value of a ``name=value`` string is or contains a string or a dict."""
    return _contains_text(_value(pair.partition("=")[2]))


def _value(text: str) -> Any:
    """Parse a string as JSON; Python's True, False and None are accepted too."""
    words = {"True": True, "False": False, "None": None}
    try:
        return words[text] if text in words else json.loads(text)
    except ValueError:
        return text


def _contains_text(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    return any(map(_contains_text, value)) if isinstance(value, list) else isinstance(value, str)
