"""Algorithms, one a file: ``NAME``, ``Config`` and ``make(config, task, strategy) -> Algorithm``.

An algorithm sees batches and episodes. Environments, collectors and logs are none of its business.
"""
