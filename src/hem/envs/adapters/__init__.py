"""Adapters for any Gymnasium environment, run in worker processes.

Faults of third-party code are handled here. The checks of ``hem check`` are in ``hem.cli.check``.
"""
