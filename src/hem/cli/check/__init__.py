"""``hem check``: random episodes of somebody's environment, and what they say about it.

A new rule goes into ``rules.py``. How such an environment is run is not known here but in
``hem.envs.adapters``.
"""
