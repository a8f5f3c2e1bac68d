"""Environments, one a file: ``NAME``, ``Config`` and ``make(config) -> World | Simulator``.

An environment knows its dynamics, goals and images, and nothing of learning.
"""
