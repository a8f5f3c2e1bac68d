"""The replay buffer, and the E-step that builds batches from it.

Rewards and terminations are computed here and nowhere else. How goals are relabeled is up to a
strategy in ``hem.hindsight``.
"""
