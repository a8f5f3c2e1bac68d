"""What a terminal shows: commands, their flags and messages.

A command reads its flags, calls ``hem.api`` or a package below it, and prints; nothing is computed
here that a program could want.
"""
