"""Relabeling strategies, one per file: ``NAME``, ``Config`` and ``make(config) -> Strategy``.

A strategy chooses the time at which the goal of a stored step was achieved; ``hem.replay`` builds
batches from it.
"""
