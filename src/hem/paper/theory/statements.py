"""The table of ``hem theory``: each statement by formula, by enumeration and by Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hem.paper.theory import bandit, bound, coverage

SIZES = (3, 5, 10, 50)  # actions, and goals
SAMPLES = 400_000
CLOSE = 1e-9  # relative tolerance between enumeration and formula
INTERVAL = 4  # tolerance of Monte Carlo, in standard errors
ROUNDS = 8  # of expectation maximization


class Statement(NamedTuple):
    """A row of the table."""

    source: str  # in the paper
    says: str
    formula: float
    enumerated: float
    sampled: tuple[float, float] | None  # Monte Carlo, and its standard error
    holds: bool


def statements(seed: int) -> Iterator[Statement]:
    """Compute every statement; the seed is for Monte Carlo."""
    rng = np.random.default_rng(seed)
    yield _proposition_1(rng)
    for name, outcomes, error in (
        ("Theorem 1", bandit.reinforce, lambda k: k * k - 1),
        ("Theorem 2", bandit.hindsight, lambda k: k - 1),
    ):
        for k in SIZES:
            logits = np.zeros((k, k))
            exact = bandit.relative_error(bandit.moments(outcomes, logits))
            worst = exact.flat[np.argmax(np.abs(exact - error(k)))]
            drawn = bandit.sampled_error(outcomes, logits, SAMPLES, rng)
            yield _line(name, f"relative squared error, k = {k}", error(k), worst, drawn)
    yield from _around_the_theorems()
    yield from _theorem_3(rng)
    yield from _lower_bound()


def _line(
    source: str,
    says: str,
    formula: float,
    enumerated: float,
    sampled: tuple[float, float] | None = None,
) -> Statement:
    """A statement of equality: it holds if the numbers agree."""
    holds = abs(enumerated - formula) <= CLOSE * max(1.0, abs(formula))
    if sampled is not None:
        holds &= abs(sampled[0] - enumerated) <= INTERVAL * sampled[1]
    return Statement(source, says, float(formula), float(enumerated), sampled, bool(holds))


def _proposition_1(rng: np.random.Generator) -> Statement:
    pi = random_policy(rng)
    return _line(
        "Proposition 1",
        "p(O = 1) is J / Z",
        bound.objective(pi),
        bound.evidence(pi, bound.pairs()),
        bound.sampled_objective(pi, SAMPLES, rng),
    )


def random_policy(rng: np.random.Generator) -> np.ndarray:
    """A table f64[action, state, goal]."""
    return np.moveaxis(rng.dirichlet((1, 1), (bound.ROOMS, bound.ROOMS)), -1, 0)


def _around_the_theorems() -> Iterator[Statement]:
    k = 10
    logits = np.zeros((k, k))
    plain, taken = (bandit.moments(o, logits) for o in (bandit.reinforce, bandit.hindsight))
    controlled = bandit.relative_error_with_control(plain)
    elsewhere = (k * k - 1) * (1 - k / ((k - 1) ** 2 * (k + 1)))
    yield _line("Remark B.2", f"with a control variate, a = g, k = {k}", k - 1, controlled[0, 0])
    yield _line("", "and a != g", elsewhere, controlled[0, 1])
    one = bandit.relative_error_with_baseline(plain)
    yield _line("", "with one baseline for all logits", k * k - k - 1, one)
    apart = float(np.abs(taken.mean - plain.mean).max())
    yield _line("Theorem 2", "largest difference of its mean from the gradient", 0, apart)


def _theorem_3(rng: np.random.Generator) -> Iterator[Statement]:
    k, n = 5, 5
    mean, always = coverage.enumerated(n, k)
    drawn = coverage.sampled(n, k, 10_000, rng)
    formula = float(coverage.expected(n, k))
    yield _line("Theorem 3", f"mean J after {n} episodes, k = {k}", formula, float(mean), drawn)
    buffers = k**n
    yield Statement(
        "", f"buffers with J >= goals seen / goals, of {buffers:,}", buffers, always, None,
        always == buffers,
    )  # fmt: skip
    reached = float(coverage.detour(3))
    yield _line("", "after a detour, J where the theorem promises 1", 8 / 9, reached)


def _lower_bound() -> Iterator[Statement]:
    exact, taken = (
        bound.maximize(bound.uniform(), ROUNDS, e) for e in (bound.posterior, bound.in_hindsight)
    )
    gap = max(abs(r.after_e - np.log(r.objective)) for r in exact)
    yield _line("Eq. 5", "exact E-step: largest gap to log J", 0, gap)
    rises = sum(r.after_e >= r.before - CLOSE for r in exact)
    yield Statement("", "exact E-steps that do not lower L", ROUNDS, rises, None,
                    rises == ROUNDS)  # fmt: skip
    for name, rounds in (("exact", exact), ("hindsight", taken)):
        rises = sum(r.after_m >= r.after_e - CLOSE for r in rounds)
        yield Statement("Eq. 7", f"M-steps that do not lower L ({name})", ROUNDS, rises, None,
                        rises == ROUNDS)  # fmt: skip
    falls = sum(r.after_e < r.before - CLOSE for r in taken)
    yield Statement("Eq. 8", "hindsight E-steps that lower L", float("nan"), falls, None,
                    falls > 0)  # fmt: skip


def of(sources: Sequence[str], found: Iterable[Statement]) -> list[Statement]:
    """The statements of these sources; a row without a source has that of the row before."""
    chosen, source = [], ""
    for statement in found:
        source = statement.source or source
        if source in sources:
            chosen.append(statement)
    return chosen


def numbers(statement: Statement) -> tuple[str, str, str]:
    """The three numbers of a statement as text; empty where there is none."""
    drawn = statement.sampled
    return (
        "" if np.isnan(statement.formula) else f"{statement.formula:.6g}",
        f"{statement.enumerated:.6g}",
        "" if drawn is None else f"{drawn[0]:.5g} +- {drawn[1]:.2g}",
    )


def text(found: list[Statement]) -> str:
    """The table, formatted for a terminal."""
    lines = [("", "", "formula", "enumerated", "Monte Carlo", "")]
    for s in found:
        verdict = "holds" if s.holds else "DOES NOT HOLD"
        lines.append((s.source, s.says, *numbers(s), verdict))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if 2 <= i <= 4 else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
