"""hEM learns: small worlds are solved from nothing, whatever the seed.

Thresholds lie below the worst of 12 seeds, measured with the same settings: 0.987 for FlipBit
(mean 0.995) and 0.983 for Navigation (mean 0.996).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from hem.seeds import train_seeds

# All that matters is said here: presets may change.
SETTINGS = {
    "strategy": "future",
    "hidden": (64, 64),
    "learning_rate": 1e-3,
    "batch_size": 64,
    "noise": 0.2,
    "temperature": 1.0,
    "episodes": 16,
    "capacity": 2000,
    "eval_episodes": 300,
}


class Lesson(NamedTuple):
    env: str
    settings: dict[str, Any]
    each: float  # success that every seed must exceed
    mean: float  # and all of them together


LESSONS = [
    Lesson(
        "FlipBit",
        {"bits": 10, "updates": 100, "env_steps": 15_000, "eval_every": 5000},
        each=0.95,
        mean=0.98,
    ),
    Lesson(
        "Navigation",
        {
            "dim": 2,
            "threshold": 0.1,
            "horizon": 25,
            "updates": 50,
            "env_steps": 7000,
            "eval_every": 4000,
        },
        each=0.94,
        mean=0.97,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.env)
def test_it_learns_to_reach_almost_every_goal(lesson):
    curves = train_seeds(lesson.env, seeds=[0, 1, 2], **SETTINGS, **lesson.settings)
    assert curves.env_steps[:, -1].max() < 1.7 * lesson.settings["env_steps"]
    final = curves.success_rate[:, -1]
    assert (final > lesson.each).all(), final
    assert final.mean() > lesson.mean
