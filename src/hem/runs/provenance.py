"""What is needed to reproduce a command: its arguments, its time, and package versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

PACKAGES = ("hindsight-em", "jax", "jaxlib", "flax", "optax", "numpy", "mujoco", "gymnasium")


def provenance() -> dict[str, Any]:
    """What ``config.json`` records about the current command."""
    return {
        "command": [os.fsencode(word).decode(errors="backslashreplace") for word in sys.argv],
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # as when hem runs from its source folder
        return "not installed"
