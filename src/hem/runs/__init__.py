"""Runs as folders: configuration, checkpoints and policy file; training and playback.

Everything that must outlive the process is written and read here. Learning itself belongs in
``hem.training``.
"""
