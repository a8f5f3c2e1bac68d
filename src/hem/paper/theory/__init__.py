"""The paper's theoretical claims, computed exactly by enumeration, and by Monte Carlo.

``bandit`` covers the illustration of section 2.2 with Theorems 1 and 2, ``coverage`` Theorem 3, and
``bound`` Proposition 1 and the evidence lower bound of Eq. 5 and 8; they use NumPy and no other
part of hem. ``statements`` is the table and ``figures`` are the plots of ``hem theory``.
"""
