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
    """The settings of a run's ``config.json`` as a configuration file."""
    lines = _lines({name: config[name] for name in NAMES})
    for part, title in zip(CONFIGS, TITLES, strict=True):
        if settings := _lines(config[part] or {}):
            lines += ["", f"# {title}", *settings]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    """A line for each value; None, for which TOML has no word, is a default everywhere."""
    return [f"{name} = {_word(value)}" for name, value in values.items() if value is not None]


def _word(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_word, value))}]"
    if isinstance(value, str):  # as in JSON, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
