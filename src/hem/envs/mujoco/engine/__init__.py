"""What the MuJoCo tasks share: batched physics, cameras, and image observations.

A task's own file needs to know ``task.py`` and ``batched.py`` only; nothing here names a task.
"""
