"""Algorithms, one per file: ``NAME``, ``Config`` and ``make(config, task, strategy) -> Algorithm``.

An algorithm sees batches and episodes, but never environments, collectors or logs.
"""
