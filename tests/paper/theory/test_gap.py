"""The whole bound, enumerated: it is below log J by the divergence of q from the posterior."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from experiments import lower_bound
from hem.paper.theory import bound, problems
from hem.paper.theory.gap import Bounded, Path, maximize, measured, of_replay
from hem.paper.theory.gap_figure import bound_and_success
from hem.paper.theory.problems import Problem
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment

BITS, DISCOUNT = 2, 0.7


def random_policy(problem: Problem, seed: int) -> np.ndarray:
    actions, *rest = problem.uniform.shape
    drawn = np.random.default_rng(seed).dirichlet(np.ones(actions), rest)
    return np.moveaxis(drawn, -1, 0)


@pytest.fixture(
    scope="module",
    params=[problems.corridor, lambda: problems.bandit(4), lambda: problems.flip_bit(BITS)],
    ids=["corridor", "bandit", "flip-bit"],
)
def problem(request) -> Problem:
    return request.param()


def check(history: list[Bounded]) -> None:
    """L <= log J - log Z, with Z = 1, and what lies between is the divergence."""
    for _, log_success, lower, gap in history:
        assert lower <= log_success + 1e-9
        assert gap >= -1e-9
        if np.isfinite(lower):
            assert log_success - lower == pytest.approx(gap, abs=1e-9)
        else:
            assert gap == np.inf


def test_the_pairs_are_all_there_are(problem):
    pi = random_policy(problem, seed=0)
    assert bound.chances(pi, problem.pairs).sum() == pytest.approx(1)
    assert bound.evidence(pi, problem.pairs) == pytest.approx(problem.objective(pi), abs=1e-12)


def test_the_bound_is_below_for_any_q(problem):
    rng = np.random.default_rng(1)
    reached = np.array([pair.reached for pair in problem.pairs])
    for seed in range(5):
        q = rng.dirichlet(np.ones(len(reached))) * reached
        check([measured(problem, random_policy(problem, seed), q / q.sum(), 0)])
    some = np.where(rng.random(len(reached)) < 0.5, reached, 0.0)
    check([measured(problem, random_policy(problem, 9), some / some.sum(), 0)])
    failing = np.ones(len(reached)) / len(reached)
    if not reached.all():
        assert measured(problem, random_policy(problem, 9), failing, 0).bound == -np.inf


@pytest.mark.parametrize("e_step", [bound.posterior, bound.in_hindsight])
def test_it_is_below_in_every_half_of_expectation_maximization(problem, e_step):
    history = maximize(problem, e_step, 5)
    check(history)
    exact = e_step is bound.posterior
    for after_e, after_m in zip(history[::2], history[1::2], strict=True):
        assert after_m.bound >= after_e.bound - 1e-9
        if exact:
            assert abs(after_e.gap) < 1e-9
            assert after_m.log_success >= after_e.log_success - 1e-9


def test_one_iteration_solves_the_paper_s_illustration():
    first, then = maximize(problems.bandit(6), bound.in_hindsight, 1)
    assert (first.log_success, first.gap) == pytest.approx((-np.log(6), 0), abs=1e-9)
    assert (then.log_success, then.bound) == pytest.approx((0, 0), abs=1e-9)


def test_the_q_of_a_replay_is_that_of_its_parts():
    """By hand: 00 -> 01 -> 00, whose parts are (0, 1), (0, 2) and (1, 2)."""
    problem = problems.flip_bit(BITS)
    q = of_replay(problem, [Path([0, 1, 0], [0, 0])], DISCOUNT)
    soon, late = np.array([1, DISCOUNT]) / (1 + DISCOUNT) / 2
    wanted = {
        (1, ((0, 0),)): soon,
        (0, ((0, 0), (1, 0))): late,
        (0, ((1, 0),)): 0.5 - late,
    }
    total = sum(wanted.values())
    found = {(p.goal, p.steps): x for p, x in zip(problem.pairs, q, strict=True) if x > 0}
    assert found == {key: pytest.approx(value / total) for key, value in wanted.items()}


def test_a_trajectory_ends_where_it_first_reaches_its_goal():
    problem = problems.flip_bit(3)
    q = of_replay(problem, [Path([0, 1, 0, 1], [0, 0, 0])], discount=1.0)
    found = {(p.goal, p.steps) for p, x in zip(problem.pairs, q, strict=True) if x > 0}
    there, back = (0, 0), (1, 0)
    assert found == {(1, (there,)), (0, (there, back)), (0, (back,)), (1, (back, there))}


def test_hem_itself_stays_below_while_it_learns():
    problem = problems.flip_bit(lower_bound.BITS)
    history = list(lower_bound.trained(0, problem, env_steps=300))
    check(history)
    assert len(history) > 5
    assert history[-1].log_success > history[0].log_success
    assert history[-1].bound > history[0].bound


def test_the_policy_s_table_is_what_it_would_do_in_the_environment():
    env, algorithm = make_experiment("FlipBit", bits=lower_bound.BITS).build()
    state = algorithm.init(jax.random.key(0))
    pi = lower_bound.table(algorithm, state.policy)
    np.testing.assert_allclose(pi.sum(0), 1)
    obs, goal = np.array([1, 1, 0], np.int8), np.array([0, 1, 0], np.int8)  # 3 and 2
    for action in range(3):
        log_pi = algorithm.policy.log_prob(
            state.policy, obs[None], goal[None], np.array([action], np.int32)
        )
        assert pi[action, 3, 2] == pytest.approx(float(np.exp(log_pi[0])), rel=1e-5)
    assert list(lower_bound.paths(ring.init(env.task, 4))) == []


def test_it_is_drawn_side_by_side():
    problem = problems.bandit(3)
    history = {"exact E-step": maximize(problem, bound.posterior, 2)}
    figure = bound_and_success({"one": history, "two": history})
    assert len(figure.axes) == 4
    assert all(axes.lines for axes in figure.axes)
