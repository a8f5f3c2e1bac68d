"""Learners, one a file. Each has ``NAME``, ``Config`` and
``make(config, task, strategy) -> Algorithm``."""
