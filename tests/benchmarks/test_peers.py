"""The comparison with Stable-Baselines3, all of it that does not need Stable-Baselines3."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from benchmarks import peers
from benchmarks._stable_baselines import MinusOne, success

RESULTS = Path(__file__).parents[2] / "docs" / "results.md"


class Scripted(gymnasium.Env):
    """Episodes that succeed at the steps written down for their seed."""

    action_space = gymnasium.spaces.Discrete(2)
    script = ([False, False, False], [False, True, False], [False, True, True])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.steps = iter(self.script[(seed or 0) % 3])
        self.left = 3
        return {"seed": seed}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert action == 1
        self.left -= 1
        now = next(self.steps)
        return {}, float(now), False, self.left == 0, {"is_success": now}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return np.float64(achieved == desired)


def actor() -> Any:
    def predict(obs: Any, deterministic: bool) -> tuple[int, None]:
        assert deterministic
        return 1, None

    return SimpleNamespace(predict=predict)


def test_success_is_counted_at_any_and_at_the_last_step():
    assert success(actor(), Scripted(), 3, first_seed=0) == pytest.approx((2 / 3, 1 / 3))
    assert success(actor(), Scripted(), 1, first_seed=4) == (1, 0)


def test_the_reward_is_minus_one_until_the_goal_is_reached():
    env = MinusOne(Scripted())
    env.reset(seed=1)
    assert [env.step(1)[1] for _ in range(3)] == [-1, 0, -1]
    both = env.compute_reward(np.array([1, 2]), np.array([1, 1]), [{}, {}])
    np.testing.assert_array_equal(both, [0, -1])


def test_what_is_stored_is_what_is_compared():
    stored = list(filter(peers.is_stored, peers.comparisons()))
    assert stored
    for comparison in stored:
        for algo in (*peers.OURS, peers.PEER):
            for seed in peers.SEEDS:
                run = json.loads(peers._file(comparison, algo, seed).read_text())
                assert run["seed"] == seed
                assert run["budget"] == comparison.budget._asdict()
                assert run["rows"][-1]["env_steps"] >= comparison.budget.env_steps
                assert all(0 <= row["eval/success_rate"] <= 1 for row in run["rows"])


def test_the_table_of_the_documentation_is_that_of_what_is_stored():
    assert peers.table() in RESULTS.read_text()


def test_each_of_ours_has_a_figure_against_the_peer():
    figures = peers.measure()
    assert figures
    assert all(0 <= figure["value"] <= 1 for figure in figures)
    assert all(peers.PEER in figure["against"] for figure in figures)
