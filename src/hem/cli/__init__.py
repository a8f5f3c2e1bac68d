"""The command line: commands, their flags and messages.

A command reads its flags, calls ``hem.api`` or a package below it, and prints. Nothing is computed
here that a program might need.
"""
