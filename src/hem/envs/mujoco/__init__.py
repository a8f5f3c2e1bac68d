"""Worlds simulated by MuJoCo on the CPU: batched physics, a camera, and one file a task."""
