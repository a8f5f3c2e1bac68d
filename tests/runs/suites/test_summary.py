"""What runs reached: first passages, means and intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

from hem.runs.suites.summary import Reached, interval, reached, summarize


def run(folder: Path, rates: list[float | None]) -> Path:
    folder.mkdir()
    lines = []
    for i, rate in enumerate(rates, start=1):
        row = {"iteration": i, "env_steps": 10 * i, "wall_s": 2.0 * i}
        lines.append(row if rate is None else row | {"eval/success_rate": rate})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("rates", "steps"),
    [
        ([0.1, 0.96, 0.2, 0.97, 0.95, 0.1], 40),  # one evaluation alone does not count
        ([0.96, None, 0.97], 10),
        ([0.1, 0.2, 0.99], None),
        ([0.95, 0.95], 10),
        ([0.949999988079071, 0.949999988079071], 10),  # 0.95 as a float32
    ],
)
def test_a_rate_is_reached_by_two_evaluations_in_a_row(tmp_path, rates, steps):
    found = reached(run(tmp_path / "run", rates), 0.95)
    assert found is not None
    assert found.steps_to == steps
    assert found.seconds_to == (None if steps is None else steps / 5)
    assert found.success == rates[-1]
    assert found.best == max(rate for rate in rates if rate is not None)
    assert found.env_steps == 10 * len(rates)


def test_a_run_that_learns_offline_counts_updates(tmp_path):
    folder = run(tmp_path / "run", [0.1, 0.96, 0.97])
    text = (folder / "metrics.jsonl").read_text().replace("env_steps", 'env_steps": 0, "updates')
    (folder / "metrics.jsonl").write_text(text)
    found = reached(folder, 0.95)
    assert found is not None
    assert (found.steps_to, found.env_steps) == (20, 30)


def test_before_the_first_evaluation_there_is_nothing(tmp_path):
    assert reached(run(tmp_path / "run", [None, None]), 0.95) is None
    assert reached(tmp_path / "absent", 0.95) is None


def test_a_line_is_of_all_runs(tmp_path):
    runs = [Reached(s, 0, s, steps, 1.0, 100, 10.0) for s, steps in ((0.5, 10), (1.0, None))]
    line = summarize("a", runs)
    assert line.success == (0.75, 0.5, 1.0)  # of two runs, the range
    assert (line.arrived, line.steps_to) == (1, None)
    assert summarize("a", runs[:1]).steps_to == 10


def test_the_interval_is_scipy_s_bootstrap():
    values = np.random.default_rng(1).uniform(size=12)
    expected = bootstrap((values,), np.mean, method="percentile", random_state=0)
    np.testing.assert_allclose(interval(values), expected.confidence_interval, atol=0.02)
