"""A run as a folder: configuration, checkpoints, policy file; training it, and playing it back.

Whatever has to survive the process is written and read here. How learning goes on belongs in
``hem.training``.
"""
