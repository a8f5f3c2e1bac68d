"""What two or more algorithms share in their M-steps: losses, targets and critics.

What only one algorithm uses belongs in its own file in ``hem.algorithms``. Nothing here knows
environments, files or the training loop.
"""
