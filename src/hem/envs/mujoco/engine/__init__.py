"""Shared parts of the MuJoCo tasks: batched physics, cameras and image observations.

A task's own file mainly uses ``task.py`` and ``batched.py``; nothing here names a task.
"""
