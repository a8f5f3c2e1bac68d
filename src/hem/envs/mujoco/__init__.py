"""Environments on MuJoCo physics, one a file.

What two tasks share that is not about a robot belongs in ``engine``.
"""
