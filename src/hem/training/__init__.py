"""The training loop: collecting, learning, evaluating, and the metrics that come of it.

It takes environments and algorithms as values, and never names one. Folders and checkpoints belong
in ``hem.runs``.
"""
