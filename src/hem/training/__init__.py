"""The training loop: collecting, learning, evaluating, and the resulting metrics.

It takes environments and algorithms as values and never names one. Folders and checkpoints belong
in ``hem.runs``.
"""
