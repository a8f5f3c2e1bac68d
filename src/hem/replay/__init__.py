"""Stored episodes, and the E-step that makes batches of them.

Rewards and terminations are computed here and nowhere else. Which goal is taken in hindsight is
a strategy's, in ``hem.hindsight``.
"""
