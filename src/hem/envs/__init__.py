"""Worlds, one a file. Each has ``NAME``, ``Config`` and ``make(config) -> World | Simulator``."""
