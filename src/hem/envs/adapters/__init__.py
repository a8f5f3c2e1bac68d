"""Anybody's Gymnasium environment as an environment of hem, run in worker processes.

Whatever a stranger's code can do wrong is dealt with here. What hem checks of it on request is in
``hem.cli.check``.
"""
