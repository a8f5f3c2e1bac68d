"""The success protocol against plain loops, and its interval by hand."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.training import evaluation
from hem.training.evaluation import Outcome
from hem.types import Episodes

N, HORIZON = 4, 3
outcome = jax.jit(evaluation.outcome, static_argnums=0)


@given(
    achieved=st.lists(st.integers(0, 2), min_size=N * (HORIZON + 1), max_size=N * (HORIZON + 1)),
    goal=st.lists(st.integers(0, 2), min_size=N, max_size=N),
    length=st.lists(st.integers(0, HORIZON), min_size=N, max_size=N),
)
def test_outcome_is_that_of_plain_loops(equals, achieved, goal, length):
    path = np.array(achieved, np.int8).reshape(N, HORIZON + 1, 1)
    episodes = Episodes(
        obs=path,
        achieved=path,
        goal=np.array(goal, np.int8)[:, None],
        action=np.zeros((N, HORIZON), np.int32),
        length=np.array(length, np.int32),
        failed=np.zeros(N, bool),
    )
    result = outcome(equals, episodes)
    for row in range(N):
        after = [path[row, t, 0] == goal[row] for t in range(1, length[row] + 1)]
        assert result.success[row] == any(after)
        assert result.final_success[row] == (bool(after) and after[-1])
        assert result.steps[row] == (after.index(True) + 1 if any(after) else length[row])


@pytest.fixture(scope="module")
def equals(task):
    return task._replace(goal_shape=(1,), obs_shape=(1,), horizon=HORIZON)


RESULT = Outcome(
    success=np.array([True] * 7 + [False] * 3),
    final_success=np.array([True] * 4 + [False] * 6),
    steps=np.array([1, 2, 3, 4, 5, 6, 7, 20, 20, 20]),
)


def test_rates_are_means():
    rates = evaluation.rates(RESULT)
    assert {name: pytest.approx(float(rate)) for name, rate in rates.items()} == {
        "eval/success_rate": 0.7,
        "eval/final_success_rate": 0.4,
        "eval/ep_len_mean": 8.8,
    }


@pytest.mark.parametrize("successes", [0, 7, 10])
def test_report_has_rates_and_their_wilson_intervals(successes):
    result = RESULT._replace(success=np.arange(10) < successes)
    n, z = 10, 1.959963984540054

    def wilson(p: float) -> list[float]:
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return [middle - half, middle + half]

    assert evaluation.report(result) == {
        "success_rate": successes / 10,
        "final_success_rate": 0.4,
        "ci95": pytest.approx(wilson(successes / 10), abs=1e-9),
        "final_ci95": pytest.approx(wilson(0.4), abs=1e-9),
        "episodes": 10,
        "ep_len_mean": 8.8,
    }
