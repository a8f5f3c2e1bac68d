"""Demonstrations and offline data: Minari datasets in and out.

Datasets are local: nothing is downloaded. What a run does with their episodes is up to
``hem.runs.beginning``; where episodes to write come from, to ``hem.runs.recorded``.
"""
