"""The paper: its experiments, one TOML file each, what they cost and show, and its theorems.

``experiments/`` has the files. How a run is trained belongs in ``hem.runs``.
"""
