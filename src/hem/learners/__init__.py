"""What two or more algorithms share of their M-steps: losses, targets and critics.

What only one algorithm uses stays in its own file in ``hem.algorithms``; nothing here knows an
environment, a file or the training loop.
"""
