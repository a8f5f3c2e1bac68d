"""Claims of sections 2 and 3 and appendix B, from exact computations."""

from __future__ import annotations

from functools import cache

import numpy as np

from experiments.paper.claims.verdict import (
    FAILS,
    HOLDS,
    PARTLY,
    Claim,
    Part,
    Verdict,
    slope,
    together,
)
from experiments.paper.results import Results
from hem.paper.theory import bandit, bound, coverage
from hem.paper.theory.statements import CLOSE, ROUNDS, SIZES, Statement, statements

SEED = 0


@cache
def proved() -> tuple[Statement, ...]:
    """The table of `hem theory`."""
    return tuple(statements(SEED))


def _proposition_1(_: Results) -> Verdict:
    (found,) = [s for s in proved() if s.source == "Proposition 1"]
    said = f"p(O = 1) is {found.enumerated:.6f} by enumeration, J / Z {found.formula:.6f}"
    return together([Part(found.holds, said)])


@cache
def _errors(hindsight: bool) -> list[float]:
    """The relative error, a root, for each of the sizes."""
    outcomes = bandit.hindsight if hindsight else bandit.reinforce
    exact = [bandit.moments(outcomes, np.zeros((k, k))) for k in SIZES]
    return [float(np.sqrt(bandit.relative_error(m).max())) for m in exact]


def _growth(hindsight: bool, low: float, high: float) -> Verdict:
    errors = _errors(hindsight)
    power = slope(SIZES, errors)
    values = ", ".join(f"{error:.2f}" for error in errors)
    sizes = ", ".join(map(str, SIZES))
    said = f"relative error {values} for k = {sizes}: it grows as k^{power:.2f}"
    return together([Part(low <= power <= high, said)])


def _rare(_: Results) -> Verdict:
    def chance(k: int) -> float:
        outcomes = bandit.reinforce(np.zeros((k, k)))
        return sum(o.probability for o in outcomes if o.estimate.any())

    found = {k: chance(k) for k in SIZES}
    said = ", ".join(f"{value:.3g} for k = {k}" for k, value in found.items())
    holds = all(abs(value - 1 / k) < CLOSE for k, value in found.items())
    return together([Part(holds, f"a gradient that is not zero has probability {said}")])


def _control_variate(_: Results) -> Verdict:
    plain, diagonal, others = [], [], []
    for k in SIZES:
        m = bandit.moments(bandit.reinforce, np.zeros((k, k)))
        controlled = bandit.relative_error_with_control(m)
        plain.append(bandit.relative_error(m)[0, 1])
        diagonal.append(controlled[0, 0])
        others.append(controlled[0, 1])
    k, helped, rest = SIZES[-1], diagonal[-1] / plain[-1], others[-1] / plain[-1]
    power = slope(SIZES, others)
    return together(
        [
            Part(power > 1, f"samples for the other logits still grow as k^{power:.2f}"),
            Part(
                helped < 0.1 and rest > 0.9,
                f"for k = {k}, the variance of {k} logits falls to {helped:.1%} of its value, "
                f"that of the other {k * k - k:,} to {rest:.2%}",
            ),
        ]
    )


def _theorem_3(_: Results) -> Verdict:
    k = n = 5
    _, always = coverage.enumerated(n, k)
    reached = float(coverage.detour(3))  # as many steps as the detour took
    return together(
        [
            Part(always == k**n, f"one step: in {always:,} of {k**n:,} buffers"),
            Part(reached >= 1, f"after a path and a detour: {reached:.2f} where it promises 1"),
        ]
    )


def _monotonic(_: Results) -> Verdict:
    rounds = bound.maximize(bound.uniform(), ROUNDS, bound.posterior)
    e = sum(r.after_e >= r.before - CLOSE for r in rounds)
    m = sum(r.after_m >= r.after_e - CLOSE for r in rounds)
    said = f"{e} of {ROUNDS} exact E-steps and {m} of {ROUNDS} M-steps do not lower the bound"
    return together([Part(e == m == ROUNDS, said)])


def _first_term(_: Results) -> Verdict:
    every = bound.pairs()
    q = bound.in_hindsight(bound.uniform(), every)
    share = sum(chance for chance, pair in zip(q, every, strict=True) if pair.reached)
    return together([Part(share > 1 - CLOSE, f"q has {share:.3f} of its weight on successes")])


def _hindsight_improves(_: Results) -> Verdict:
    rounds = bound.maximize(bound.uniform(), ROUNDS, bound.in_hindsight)
    exact = bound.maximize(bound.uniform(), ROUNDS, bound.posterior)
    success, bounds = [r.objective for r in rounds], [r.after_m for r in rounds]
    steps = ROUNDS - 1
    rises, raised = (int(np.sum(np.diff(values) >= -CLOSE)) for values in (success, bounds))
    better = success[-1] > success[0]
    word = HOLDS if steps in (rises, raised) else PARTLY if better else FAILS
    return Verdict(
        word,
        f"in a corridor, J rises in {rises} of {steps} iterations, from {success[0]:.2f} to "
        f"{success[-1]:.2f} (with exact E-steps to {exact[-1].objective:.2f}), and the bound in "
        f"{raised}",
    )


def _mpo_is_policy_gradient(_: Results) -> Verdict:
    rng = np.random.default_rng(SEED)
    pi, value = rng.dirichlet(np.ones(10)), rng.uniform(size=10)
    gradient = pi * (value - pi @ value)  # of pi @ value, with respect to logits
    cosines = {}
    for temperature in (1.0, 10.0, 1000.0):
        q = pi * np.exp(value / temperature)
        step = q / q.sum() - pi  # the M-step's gradient at pi
        cosines[temperature] = step @ gradient / np.linalg.norm(step) / np.linalg.norm(gradient)
    said = ", ".join(f"{c:.6f} at {t:g}" for t, c in cosines.items())
    return together([Part(cosines[1000.0] > 1 - 1e-6, f"cosine of the two steps, {said}")])


def _shift_keeps_optima(_: Results) -> Verdict:
    """A sure way of T steps to the goal, and one of a single step that may fail for good."""
    horizon, chance = 5, 0.9
    sure, quick = 1.0, chance
    sure_shifted, quick_shifted = -(horizon - 1.0), (1 - chance) * -horizon
    part = Part(
        (sure > quick) == (sure_shifted > quick_shifted),
        f"episodes that end at success: a sure way of {horizon} steps and a quick one with chance "
        f"{chance} return {sure:g} and {quick:g}, shifted {sure_shifted:g} and {quick_shifted:.1f}",
    )
    rewards = np.random.default_rng(SEED).integers(0, 2, (20, horizon))  # of 20 episodes
    differ = np.unique((rewards - 1).sum(axis=1) - rewards.sum(axis=1))
    said = ", ".join(f"{difference:g}" for difference in differ)
    fixed = Part(len(differ) == 1, f"episodes of {horizon} steps: returns differ by {said}")
    return together([part, fixed])


CLAIMS = (
    Claim("proposition-1", "Maximizing the model's evidence maximizes the return.",
          "Proposition 1", _proposition_1),
    Claim("theorem-1", "Without hindsight, the gradient's relative error grows about linearly with "
          "the number k of actions and goals.", "Theorem 1",
          lambda _: _growth(False, 0.9, 1.1)),
    Claim("rare-events", "Gradients that carry a signal are rare events, of probability 1/k.",
          "section 2.2", _rare),
    Claim("control-variate", "A control variate does not change that growth: it helps k "
          "logits, and the others hardly.", "section 2.2, appendix B.2", _control_variate),
    Claim("theorem-2", "With hindsight, the relative error grows sublinearly.", "Theorem 2",
          lambda _: _growth(True, 0.4, 0.6)),
    Claim("theorem-3", "After a full M-step, success is at least the share of goals seen in "
          "hindsight.", "Theorem 3", _theorem_3,
          "The M-step averages what different trajectories did in one state. It holds where each "
          "goal was reached along one path without loops ([Theory](theory.md))."),
    Claim("em-improves", "EM improves the lower bound monotonically.", "section 3, Eq. 6",
          _monotonic),
    Claim("first-term", "Hindsight maximizes the first term of the bound: its signals are dense "
          "(P.2).", "section 3, Eq. 8", _first_term),
    Claim("hindsight-improves", "Under mild conditions, hindsight too improves performance or its "
          "bound (P.1).", "section 3", _hindsight_improves,
          "Nothing controls the second term of Eq. 8, the divergence from the policy's own "
          "trajectories."),
    Claim("mpo-gradient", "With a high temperature, MPO's E-step amounts to the policy gradient.",
          "section 3, prior work", _mpo_is_policy_gradient),
    Claim("reward-shift", "Shifting rewards from 0/1 to -1/0 leaves the optimal policies as they "
          "are.", "section 4.2", _shift_keeps_optima,
          "Where episodes end at success, -1/0 rewards speed, and may prefer a quick risk to a "
          "slow certainty."),
)  # fmt: skip
