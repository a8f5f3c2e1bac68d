"""Environments, one per file: ``NAME``, ``Config`` and ``make(config) -> JaxEnv | BatchedEnv``.

An environment knows its dynamics, goals and images, and nothing about learning.
"""
