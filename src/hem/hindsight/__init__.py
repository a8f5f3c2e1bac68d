"""Relabelling strategies, one a file: ``NAME``, ``Config`` and ``make(config) -> Strategy``.

A strategy says when the goal of a stored step was reached; what a batch is made of is said in
``hem.replay``.
"""
