"""Good settings per algorithm and environment, from ``presets.toml``."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))


def suitable_algorithm(environment: str) -> str:
    """The algorithm of an environment that is trained without naming one."""
    return _table()["suitable"].get(environment, "hem")


def suitable_strategy(algorithm: str, environment: str, obs: str = "state") -> str:
    """The strategy of a run that is trained without naming one; ``obs`` is as in ``preset``."""
    return preset(algorithm, environment, obs).get("strategy", "future")


def preset(algorithm: str, environment: str, obs: str = "state") -> dict[str, Any]:
    """Preset values by field name, for any configuration that has the field.

    Args:
        algorithm: its name.
        environment: its name.
        obs: the kind of observation: "image" adds and overrides settings for images.
    """
    presets = _table().get(algorithm, {})
    values = preset(presets["like"], environment, obs) if "like" in presets else {}
    values |= presets.get("defaults", {}) | presets.get(environment, {})
    values |= values.get(obs, {})
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if not isinstance(value, dict)
    }
