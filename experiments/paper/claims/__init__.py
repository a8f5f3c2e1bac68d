"""What the paper asserts, a row each, with a function of the stored results that judges it."""

from __future__ import annotations

from experiments.paper.claims import ablations, examples, fetch, reaching, theory
from experiments.paper.claims.verdict import Claim

CLAIMS: tuple[Claim, ...] = (
    *theory.CLAIMS,
    *examples.CLAIMS,
    *reaching.CLAIMS,
    *fetch.CLAIMS,
    *ablations.CLAIMS,
)
