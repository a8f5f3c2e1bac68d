"""The theory against other ways to the same numbers: finite differences, closed forms, sampling."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from hem.cli.main import main
from hem.paper.theory import bandit, bound, coverage
from hem.paper.theory.statements import Statement, random_policy, statements, text


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 4))


def test_reinforce_is_the_gradient_in_the_mean(logits):
    def flat(x):
        return bandit.objective(x.reshape(4, 4))

    wanted = approx_fprime(logits.ravel(), flat, 1e-7).reshape(4, 4)
    mean = bandit.moments(bandit.reinforce, logits).mean
    np.testing.assert_allclose(mean, wanted, atol=1e-6)


def test_hindsight_is_so_too_at_the_uniform_policy_and_only_there(logits):
    for at, same in ((np.zeros((4, 4)), True), (logits, False)):
        means = [bandit.moments(o, at).mean for o in (bandit.reinforce, bandit.hindsight)]
        assert np.allclose(*means, atol=1e-12) == same


@pytest.mark.parametrize("outcomes", [bandit.reinforce, bandit.hindsight])
def test_outcomes_are_all_there_are_and_the_score_is_0_in_the_mean(logits, outcomes):
    every = list(outcomes(logits))
    assert sum(o.probability for o in every) == pytest.approx(1)
    if outcomes is bandit.reinforce:  # hindsight's goals are not those that were acted for
        mean = sum(o.probability * o.score for o in every)
        np.testing.assert_allclose(mean, 0, atol=1e-12)


def test_moments_are_those_of_samples(logits):
    every = list(bandit.reinforce(logits))
    p = np.array([o.probability for o in every])
    drawn = np.random.default_rng(1).choice(len(every), 200_000, p=p / p.sum())
    x, s = (np.stack([getattr(o, n) for o in every])[drawn] for n in ("estimate", "score"))
    m = bandit.moments(bandit.reinforce, logits)
    np.testing.assert_allclose(m.mean, x.mean(0), atol=5e-3)
    np.testing.assert_allclose(m.variance, x.var(0), atol=5e-3)
    np.testing.assert_allclose(m.of_score, s.var(0), atol=5e-3)
    covariance = (x * s).mean(0) - x.mean(0) * s.mean(0)
    np.testing.assert_allclose(m.with_score, covariance, atol=5e-3)


@pytest.mark.parametrize("k", [3, 5, 10, 50])
def test_theorems_1_and_2(k):
    for outcomes, wanted in ((bandit.reinforce, k * k - 1), (bandit.hindsight, k - 1)):
        exact = bandit.relative_error(bandit.moments(outcomes, np.zeros((k, k))))
        np.testing.assert_allclose(exact, wanted, rtol=1e-9)


@pytest.mark.parametrize("best", [0.9, 1.0, 1.1])
def test_no_other_multiple_of_the_score_does_better(logits, best):
    """The variance of x - c s is variance - 2 c covariance + c^2 of_score, least at the best c."""
    m = bandit.moments(bandit.reinforce, logits)
    c = best * m.with_score / m.of_score
    error = (m.variance - 2 * c * m.with_score + c * c * m.of_score) / m.mean**2
    assert (error >= bandit.relative_error_with_control(m) - 1e-12).all()
    one = best * m.with_score.sum() / m.of_score.sum()
    all_ = (m.variance - 2 * one * m.with_score + one**2 * m.of_score).sum() / (m.mean**2).sum()
    assert all_ >= bandit.relative_error_with_baseline(m) - 1e-12
    if best == 1.0:
        np.testing.assert_allclose(error, bandit.relative_error_with_control(m))
        assert all_ == pytest.approx(bandit.relative_error_with_baseline(m))


@pytest.mark.parametrize(("episodes", "goals"), [(0, 3), (1, 3), (4, 3), (3, 5)])
def test_a_buffer_solves_the_goals_in_it(episodes, goals):
    mean, holds = coverage.enumerated(episodes, goals)
    assert (mean, holds) == (coverage.expected(episodes, goals), goals**episodes)
    near, error = coverage.sampled(episodes, goals, 2000, np.random.default_rng(0))
    assert abs(near - float(mean)) <= 4 * error + 1e-12


def test_the_average_of_a_detour_fails():
    assert [coverage.detour(h) for h in (1, 2, 3)] == [
        Fraction(2, 3), Fraction(2, 3), Fraction(8, 9)]  # fmt: skip
    rng, runs = np.random.default_rng(0), 100_000
    reached = np.zeros(runs, bool)
    for _ in range(2):  # steps 1 and 3 are at the start
        reached |= rng.random(runs) < 2 / 3
    assert abs(reached.mean() - 8 / 9) < 0.005


@pytest.fixture(scope="module")
def pairs() -> list[bound.Pair]:
    return bound.pairs()


def test_pairs_are_all_there_are(pairs):
    pi = random_policy(np.random.default_rng(0))
    np.testing.assert_allclose(pi.sum(0), 1)
    assert bound.chances(pi, pairs).sum() == pytest.approx(1)
    assert bound.evidence(pi, pairs) == pytest.approx(bound.objective(pi), abs=1e-12)
    near, error = bound.sampled_objective(pi, 50_000, np.random.default_rng(1))
    assert abs(near - bound.objective(pi)) < 4 * error


def test_the_bound_is_one_and_its_gap_is_a_divergence(pairs):
    """log p(O = 1) - L(pi, q) = KL(q || posterior), for any q where R is not 0."""
    rng = np.random.default_rng(0)
    pi = random_policy(rng)
    reached = np.array([p.reached for p in pairs])
    q = rng.dirichlet(np.ones(len(pairs))) * reached
    q /= q.sum()
    best = bound.posterior(pi, pairs)
    apart = (q[reached] * np.log(q[reached] / best[reached])).sum()
    gap = np.log(bound.evidence(pi, pairs)) - bound.lower_bound(pi, q, pairs)
    assert gap == pytest.approx(apart)
    assert bound.lower_bound(pi, np.full(len(pairs), 1 / len(pairs)), pairs) == -np.inf


def test_hindsight_goals_are_those_of_sampled_episodes(pairs):
    """Episodes are run, goals are drawn from where they came to, and the share of each counted."""
    pi, rng = random_policy(np.random.default_rng(0)), np.random.default_rng(1)
    p = bound.chances(pi, pairs)
    counts: dict[int, float] = dict.fromkeys(bound.GOALS, 0)
    for i in rng.choice(len(pairs), 40_000, p=p / p.sum()):
        rooms = [s for s in set(pairs[i].visited) if s != bound.START]
        if rooms:
            counts[rng.choice(rooms)] += 1
    q = bound.in_hindsight(pi, pairs)
    assert all(pair.reached for pair, share in zip(pairs, q, strict=True) if share > 0)
    for goal, count in counts.items():
        share = sum(x for pair, x in zip(pairs, q, strict=True) if pair.goal == goal)
        assert abs(count / sum(counts.values()) - share) < 0.01


def test_the_m_step_is_the_best(pairs):
    rng = np.random.default_rng(0)
    old = random_policy(rng)
    for e_step in (bound.posterior, bound.in_hindsight):
        q = e_step(old, pairs)
        best = bound.m_step(q, pairs, old)
        np.testing.assert_allclose(best.sum(0), 1)
        top = bound.lower_bound(best, q, pairs)
        for _ in range(20):
            other = 0.9 * best + 0.1 * random_policy(rng)
            assert bound.lower_bound(other, q, pairs) <= top + 1e-12


def test_exact_steps_raise_the_bound_and_hindsight_s_e_step_need_not():
    exact = bound.maximize(bound.uniform(), 6, bound.posterior)
    taken = bound.maximize(bound.uniform(), 6, bound.in_hindsight)
    for r in exact:
        assert r.before <= r.after_e + 1e-12 <= r.after_m + 2e-12
        assert r.after_e == pytest.approx(np.log(r.objective))
    assert all(r.after_m >= r.after_e - 1e-12 for r in taken)
    assert any(r.after_e < r.before - 1e-3 for r in taken)
    assert exact[-1].objective > exact[0].objective + 0.3


def test_every_statement_holds_and_the_table_would_say_if_not():
    found = list(statements(0))
    assert all(s.holds for s in found)
    assert "DOES NOT HOLD" not in text(found)
    assert "DOES NOT HOLD" in text([Statement("Theorem 0", "1 is 2", 1, 2, None, False)])


def test_the_command_prints_the_table_and_draws_the_figures(tmp_path, capsys):
    main(["theory", "--out", str(tmp_path / "new")])
    printed = capsys.readouterr().out
    assert printed.count("holds") > 15
    images = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert len(images) == 7
    assert all(path.stat().st_size > 10_000 for path in (tmp_path / "new").iterdir())


@pytest.mark.parametrize(("flags", "says"), [(["--out", "/dev/null/x"], "cannot write /dev/null"),
                                             (["--seed", "-1"], "seed")])  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(flags, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["theory", *flags])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]
