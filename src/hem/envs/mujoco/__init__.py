"""MuJoCo environments, one per file.

What tasks share that is not specific to a robot belongs in ``engine``.
"""
