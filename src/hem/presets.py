"""Good settings per algorithm and environment, from ``presets.toml``."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any


@functools.cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))


def preset(algorithm: str, environment: str) -> dict[str, Any]:
    """Field name to value, for whatever configuration has a field of that name."""
    values = dict(_table().get(algorithm, {}).get(environment, {}))
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
