"""What is asked of the operating system and of Python: files, signals, processes, compilation.

Values that come from outside are checked here as well. Nothing here knows reinforcement learning.
"""
