"""Hindsight strategies, one a file: given a moment, when was the goal achieved that we pretend to
have wanted? Each file has ``NAME``, ``Config`` and ``make(config) -> Strategy``."""
