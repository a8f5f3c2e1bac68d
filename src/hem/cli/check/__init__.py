"""``hem check``: runs random episodes of an external environment and reports problems.

New rules go into ``rules.py``. How such an environment is run is not known here but in
``hem.envs.adapters``.
"""
