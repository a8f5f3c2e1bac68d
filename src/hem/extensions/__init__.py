"""Environments, algorithms and strategies from outside hem: how they are found and named.

They are plug-ins of installed packages, in files, or objects of a program. ``hem.registry`` decides
among them; how a Gymnasium environment is run is a matter of ``hem.envs.adapters``.
"""
