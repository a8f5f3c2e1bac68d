"""GCSL: its pairs are uniform, its loss is the likelihood, and it learns."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from enumerated import log_probs
from scipy.stats import chisquare

from hem.algorithms import gcsl
from hem.errors import UserError
from hem.hindsight import future
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Box, Discrete, Task

KEY = jax.random.key(0)
LENGTHS = [5, 1, 3]


def make(task: Task, **settings: Any) -> Algorithm:
    return gcsl.make(gcsl.Config(**settings), task, future.make(future.Config()))


def test_all_pairs_of_an_episode_are_equally_likely(task, random_episodes):
    episodes = random_episodes(np.random.default_rng(0), task, LENGTHS)
    replay, draws = ring.add(ring.init(task, 5), episodes), 30_000
    index, goal_step = gcsl.pairs(KEY, replay, draws)
    pairs = [(e, t, k) for e, n in enumerate(LENGTHS) for k in range(n + 1) for t in range(k)]
    expected = [draws / 3 / (LENGTHS[e] * (LENGTHS[e] + 1) / 2) for e, _, _ in pairs]
    drawn = np.stack([index.episode, index.step, goal_step], axis=1)
    counts = [(drawn == pair).all(1).sum() for pair in pairs]
    assert sum(counts) == draws  # and nothing else
    assert chisquare(counts, expected).pvalue > 0.001


def test_a_row_is_the_action_on_the_way_to_a_goal(task, random_episodes):
    episodes = random_episodes(np.random.default_rng(0), task, LENGTHS)
    algorithm = make(task, hidden_dims=(4,))
    batch = algorithm.e_step(KEY, algorithm.init(KEY), ring.add(ring.init(task, 5), episodes))
    for row in range(len(batch.weight)):
        (e,), (t,) = np.nonzero((episodes.obs == batch.obs[row]).all(-1))
        np.testing.assert_array_equal(batch.action[row], episodes.action[e, t])
        k = t + batch.steps_to_goal[row]
        assert t < k <= LENGTHS[e]
        np.testing.assert_array_equal(batch.goal[row], episodes.achieved[e, k])
    np.testing.assert_array_equal(batch.weight, 1)


def test_its_loss_is_the_mean_of_the_likelihood(task, random_episodes):
    episodes = random_episodes(np.random.default_rng(0), task, LENGTHS)
    algorithm = make(task, hidden_dims=(4,))
    state = algorithm.observe(algorithm.init(KEY), episodes)
    batch = algorithm.e_step(KEY, state, ring.add(ring.init(task, 5), episodes))
    after, metrics = algorithm.m_step(KEY, state, batch)
    log_p = log_probs(state.policy, "relu", batch.obs, batch.goal)
    chosen = log_p[np.arange(len(log_p)), batch.action]
    np.testing.assert_allclose(metrics["loss"], -chosen.mean(), rtol=1e-5)
    _, later = algorithm.m_step(KEY, after, batch)
    assert later["loss"] < metrics["loss"]


@pytest.mark.parametrize("action", [Discrete(4), Box((-1.0,), (2.0,))], ids=["discrete", "box"])
def test_actions_are_uniform_at_first_and_the_likeliest_later(task, random_episodes, action):
    task = task._replace(action=action)
    grid = {} if isinstance(action, Discrete) else {"bins": 4}
    algorithm = make(task, hidden_dims=(32,), random_steps=12, **grid)  # not all units are dead
    state, rng = algorithm.init(KEY), np.random.default_rng(0)
    obs, goal = rng.normal(size=(4000, 3)), rng.integers(0, 2, (4000, 2))
    keys = jax.random.split(KEY, 4000)
    for lengths in ([5, 5], [1, 1]):  # 12 steps
        chosen = np.asarray(algorithm.act(keys, state, obs, goal, True))
        counts = np.unique(chosen.round(3), return_counts=True)[1]
        assert len(counts) == 4
        assert chisquare(counts).pvalue > 0.001
        state = algorithm.observe(state, random_episodes(rng, task, lengths))
    greedy, chosen = (algorithm.act(keys, state, obs, goal, explore) for explore in (False, True))
    np.testing.assert_array_equal(chosen, greedy)
    assert len(np.unique(greedy)) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_dims": (0,)},
        {"learning_rate": 0},
        {"batch_size": 0},
        {"bins": 1},
        {"random_steps": -1},
        {"random_steps": 2**31},
        {"random_eps": 1.5},
        {"temperature": -1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        gcsl.Config(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "settings"), [("FlipBit", {"bits": 6}), ("Navigation", {"dim": 1, "horizon": 25})]
)
def test_it_learns(env, settings):
    experiment = make_experiment(
        env,
        "gcsl",
        **settings,
        hidden_dims=(64, 64),
        learning_rate=1e-3,
        batch_size=64,
        random_steps=1000,
        updates_per_iteration=100,
        buffer_episodes=1000,
        env_steps=8_000,
        eval_interval=2_000,
    )
    built, algorithm = experiment.build()
    state = init_state(built.task, algorithm, 0, experiment.run.buffer_episodes)
    rows = [step.row for step in iterations(built, algorithm, experiment.run, state, Counters())]
    assert max(row.get("eval/success_rate", 0) for row in rows) > 0.9
