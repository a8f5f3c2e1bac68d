"""Configuration files: the settings of ``hem train``, each by its name, as TOML.

env = "FlipBit"
bits = 25
hidden_dims = [256, 256]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hem.errors import require
from hem.runs.manifest import CONFIGS, NAMES
from hem.system.parsing import parse_toml

TITLES = ("the environment", "the algorithm", "the hindsight strategy", "the run")  # of CONFIGS


def read_config(file: Path) -> dict[str, Any]:
    """The values of a configuration file, by name.

    Raises:
        UserError: it cannot be read, is not TOML, or has a table.
    """
    values = parse_toml(file, dict[str, Any])
    for name, value in values.items():
        require(
            not isinstance(value, dict),
            f"{file}: [{name}] is a table, but settings are not in tables: write name = value",
        )
    for name in NAMES:
        value = values.get(name, "")
        require(isinstance(value, str), f"{file}: {name} must be a string, not {value!r}")
    return {name.replace("-", "_"): value for name, value in values.items()}


def as_toml(config: Mapping[str, Any]) -> str:
    """The settings of a run's ``config.json``, which may be a stranger's, as a configuration file.

    Raises:
        UserError: a setting has a name or a value that no setting has.
    """
    lines = _lines({name: config[name] for name in NAMES})
    for part, title in zip(CONFIGS, TITLES, strict=True):
        if settings := _lines(config[part] or {}):
            lines += ["", f"# {title}", *settings]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    """A line for each value; None, for which TOML has no word, is a default everywhere."""
    for name in values:
        require(
            name.isidentifier() and name.isascii(),
            f"{name!r} is not the name of a setting",
        )
    return [f"{name} = {_word(name, value)}" for name, value in values.items() if value is not None]


def _word(name: str, value: Any) -> str:
    """A setting's value as TOML writes it, with characters escaped that a terminal would obey."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_word(name, item) for item in value)}]"
    if isinstance(value, str):  # as in JSON, but for some characters
        quoted = json.dumps(value, ensure_ascii=False)
        return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
    require(
        isinstance(value, (bool, int, float)),
        f"{name} must be a number, a string, True or False, or a list of these",
    )
    return str(value).lower() if isinstance(value, bool) else repr(value)
