"""Which optional packages are installed."""

from __future__ import annotations

import importlib.util


def is_installed(package: str) -> bool:
    """Whether a package can be imported.

    A folder of its name where a program runs, such as one with a tracker's runs, does not count:
    to Python, it is a package without a file.
    """
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None
