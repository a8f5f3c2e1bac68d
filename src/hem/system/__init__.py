"""Services of the operating system and Python: files, signals, processes, compilation.

External values are checked here as well. Nothing here knows about reinforcement learning.
"""
