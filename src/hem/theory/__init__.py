"""What the paper claims, computed: exactly by enumeration, and by Monte Carlo.

``bandit`` has the illustration of section 2.2 with Theorems 1 and 2, ``coverage`` Theorem 3,
``bound`` Proposition 1 and the evidence lower bound of Eq. 5 and 8: they use NumPy, and nothing of
the rest. ``statements`` is the table and ``figures`` the images of ``hem theory``.
"""
