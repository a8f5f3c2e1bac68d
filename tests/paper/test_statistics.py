"""The statistics of the paper's results, against definitions and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from hem.paper.statistics import estimate, iqm, on_grid


def middle_half(scores: np.ndarray) -> float:
    """The definition: without the lowest and the highest quarter, rounded down."""
    cut = len(scores) // 4
    return float(np.mean(np.sort(scores)[cut : len(scores) - cut]))


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 20])
def test_the_interquartile_mean_is_that_of_the_middle_half(n):
    scores = np.random.default_rng(n).uniform(size=n)
    assert iqm(scores) == pytest.approx(middle_half(scores))
    both = iqm(np.stack([scores, 2 * scores], axis=1))
    assert both == pytest.approx([middle_half(scores), 2 * middle_half(scores)])


def test_the_interval_of_one_task_is_scipy_s_bootstrap():
    scores = np.random.default_rng(1).normal(size=12)
    expected = bootstrap(
        (scores,), lambda x, axis: np.apply_along_axis(middle_half, axis, x), method="percentile",
        n_resamples=9999, random_state=0,
    ).confidence_interval  # fmt: skip
    found = estimate([scores])
    assert found.mean == pytest.approx(middle_half(scores))
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.06)


def test_seeds_are_drawn_within_tasks():
    # Without strata, the share of each task would vary, and with it the mean.
    easy, hard = np.full(5, 1.0), np.full(5, 0.0)
    found = estimate([easy, hard])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    mixed = estimate([np.concatenate([easy, hard])])
    assert mixed.low < 0.3 < 0.7 < mixed.high


def test_few_runs_have_their_range():
    found = estimate([np.array([0.2, 0.6])])
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.2, 0.6))
    assert np.isnan(estimate([np.array([0.2]), np.array([0.6])]).low)


def test_a_curve_is_estimated_point_by_point():
    curves = np.random.default_rng(0).uniform(size=(7, 3))
    found = estimate([curves])
    for i in range(3):
        assert found.mean[i] == pytest.approx(middle_half(curves[:, i]))
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_curves_meet_on_a_grid_from_where_all_have_begun():
    grid, values = on_grid(
        [np.array([1.0, 3.0]), np.array([2.0, 4.0])], [np.array([0.0, 1.0]), np.array([0.5, 0.7])]
    )
    assert grid.tolist() == [2.0, 3.0, 4.0]
    np.testing.assert_allclose(values, [[0.5, 1.0, 1.0], [0.5, 0.6, 0.7]])
