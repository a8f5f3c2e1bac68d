"""Many runs: a file that says which, where they are trained, and tables of what came out.

How a single run is trained belongs in ``hem.runs``: here, each run is a process of its own.
"""
