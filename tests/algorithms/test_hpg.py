"""HPG against the exact gradient of a small environment, and its weights against loops in NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from enumerated import all_episodes, exact_gradient, expected_ascent, log_probs, two_bits
from scipy.stats import chisquare

from hem.algorithms import hpg
from hem.errors import UserError
from hem.hindsight import future
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Discrete, Episodes, Task

KEY = jax.random.key(0)
LENGTHS = [5, 2, 4]


def make(task: Task, **settings) -> Algorithm:
    return hpg.make(hpg.Config(**settings), task, future.make(future.Config()))


def moved_on(algorithm: Algorithm, episodes: Episodes) -> hpg.HpgState:
    """A state whose policy is another one than that which acted, in parameters and statistics."""
    acted = algorithm.init(jax.random.key(1))
    acted = algorithm.observe(acted, episodes._replace(obs=episodes.obs + 1))
    acted = algorithm.observe(acted, episodes)
    params = algorithm.init(jax.random.key(2)).policy.params
    return acted._replace(policy=acted.policy._replace(params=params))


@pytest.mark.parametrize(
    ("terminates", "reward"), [(False, "steps-left"), (True, "one"), (True, "steps-left")]
)
def test_its_mean_over_all_episodes_is_the_exact_gradient(terminates, reward):
    """Unweighted, and though the episodes are of another policy: that is what ratios are for.

    Where episodes end at success, those for g are cut short for g', and so is what is climbed.
    """
    env = two_bits(terminates)
    settings = {"weighted": False, "reward_scheme": reward, "batch_episodes": 1}
    algorithm = make(env.task, hidden_dims=(4,), **settings)
    state = moved_on(algorithm, all_episodes(env))
    ascent = expected_ascent(algorithm, state, env, state.behavior, "tanh")
    exact = exact_gradient(
        env, state.policy, "tanh", hindsight=True, steps_left=reward == "steps-left"
    )
    assert np.abs(exact).max() > 0.1
    np.testing.assert_allclose(ascent, exact, atol=1e-4)


def weights(task: Task, state: hpg.HpgState, episodes: Episodes, weighted, steps_left) -> dict:
    """(episode, k, t) -> weight of action t for the goal first visited at k, loop by loop."""

    def ratio(goal: np.ndarray, j: int, t: int) -> float:
        """prod_{u <= t} pi(a_u | s_u, goal) / pi'(a_u | s_u, g) in episode j, pi' what acted."""
        u = np.arange(t + 1)
        obs, action = episodes.obs[j, : t + 1], episodes.action[j, : t + 1]
        goal_input = np.tile(goal, (t + 1, 1)), np.tile(episodes.goal[j], (t + 1, 1))
        new = np.exp(log_probs(state.policy, "tanh", obs, goal_input[0]))[u, action]
        old = np.exp(log_probs(state.behavior, "tanh", obs, goal_input[1]))[u, action]
        return np.prod(new / old)

    found = {}
    for i, length in enumerate(episodes.length):
        for k in range(1, length + 1):
            goal = episodes.achieved[i, k]
            hits = [t for t in range(length) if (episodes.achieved[i, t + 1] == goal).all()]
            if hits[0] + 1 != k:
                continue  # it was visited before
            following = np.zeros(length + 1)
            for t in reversed(range(length)):
                following[t] = following[t + 1]
                if t not in hits or (task.terminates_on_success and t > hits[0]):
                    continue
                if episodes.failed[i] and t == length - 1:
                    continue  # by its failure no goal counts as reached
                left = task.terminates_on_success and steps_left
                those = [j for j in range(len(episodes.length)) if episodes.length[j] > t]
                total = sum(ratio(goal, j, t) for j in those) if weighted else len(episodes.length)
                following[t] += (task.horizon - t if left else 1) * ratio(goal, i, t) / total
            found |= {(i, k, t): following[t] for t in range(length) if following[t]}
    return found


@pytest.mark.parametrize(
    ("terminates", "weighted", "reward", "failed"),
    [
        (False, True, "steps-left", [False] * 3),
        (True, True, "steps-left", [False] * 3),
        (True, False, "one", [False] * 3),
        (True, True, "steps-left", [True, False, True]),
        (False, True, "steps-left", [True, False, True]),
    ],
)
def test_weights_are_ratios_times_what_followed(
    task, random_episodes, terminates, weighted, reward, failed
):
    task = task._replace(terminates_on_success=terminates)
    algorithm = make(task, hidden_dims=(4,), weighted=weighted, reward_scheme=reward)
    rng = np.random.default_rng(0)
    old, new = random_episodes(rng, task, [5, 5]), random_episodes(rng, task, LENGTHS)
    new = new._replace(failed=np.array(failed))
    state = moved_on(algorithm, new)
    replay = ring.add(ring.add(ring.init(task, 6), old), new)
    batch = jax.tree.map(np.asarray, jax.jit(algorithm.e_step)(KEY, state, replay))
    expected = weights(task, state, new, weighted, reward == "steps-left")
    shape = (6, task.horizon, task.horizon)
    got = {}
    for row, k, t in np.argwhere(batch.weight.reshape(shape)):
        at, episode = np.ravel_multi_index((row, k, t), shape), 2 - row  # the latest is first
        got[episode, k + 1, t] = batch.weight[at]
        np.testing.assert_array_equal(batch.obs[at], new.obs[episode, t])
        np.testing.assert_array_equal(batch.action[at], new.action[episode, t])
        np.testing.assert_array_equal(batch.goal[at], new.achieved[episode, k + 1])
    assert set(got) == set(expected)
    np.testing.assert_allclose(
        [got[at] for at in expected], list(expected.values()), rtol=1e-3, atol=1e-6
    )


def test_weighted_ratios_of_one_moment_add_up_to_one():
    """So an episode that is alone has weights of what followed, whatever its likelihood."""
    env = two_bits(False)
    algorithm = make(env.task, hidden_dims=(4,))
    episodes = all_episodes(env)
    state = moved_on(algorithm, episodes)
    alone = jax.tree.map(lambda x: x[37:38], episodes)
    batch = algorithm.e_step(KEY, state._replace(fresh=1), ring.add(ring.init(env.task, 1), alone))
    later = [
        [(alone.achieved[0, t + 1 :] == alone.achieved[0, k]).all(-1).sum() for t in range(3)]
        for k in (1, 2, 3)
    ]
    first = [1, 1, float((alone.achieved[0, 1] != alone.achieved[0, 3]).any())]
    expected = np.array(later) * np.array(first)[:, None]
    np.testing.assert_allclose(np.reshape(batch.weight, (3, 3)), expected, rtol=1e-4)


def test_ratios_past_all_numbers_of_goals_that_do_not_count_do_no_harm():
    """Those of goals visited before are not part of any sum, and so may be infinite."""
    env = two_bits(False)
    algorithm = make(env.task, hidden_dims=(4,))
    episodes = jax.tree.map(lambda x: x[:8], all_episodes(env))
    state = moved_on(algorithm, episodes)
    sure = jax.tree.map(lambda x: 300 * x, state.behavior.params.network)
    params = state.behavior.params._replace(network=sure)
    state = state._replace(behavior=state.behavior._replace(params=params), fresh=8)
    batch = algorithm.e_step(KEY, state, ring.add(ring.init(env.task, 8), episodes))
    assert np.isfinite(batch.weight).all()
    assert np.asarray(batch.weight).any()


def test_some_goals_are_drawn_from_those_visited_each_as_often():
    achieved = np.array([[0, 1, 2, 1, 3, 9], [5, 5, 5, 9, 9, 9]], np.int8)[:, :, None]
    length, draws = np.array([4, 2]), 6000
    keys = jax.random.split(KEY, draws)
    k, counts = jax.vmap(lambda key: hpg.visited(key, achieved, length, 2))(keys)
    assert k.shape == counts.shape == (draws, 2, 2)
    assert counts[:, 0].all()
    assert (k[:, 0, 0] != k[:, 0, 1]).all()
    np.testing.assert_array_equal(counts[:, 1].sum(-1), 1)  # it visited one
    np.testing.assert_array_equal(k[:, 1][counts[:, 1]], 1)
    times = np.bincount(k[:, 0].ravel(), minlength=6)
    assert set(np.flatnonzero(times)) == {1, 2, 4}
    assert chisquare(times[[1, 2, 4]]).pvalue > 0.001


def test_it_explores_by_samples_of_the_policy_itself(task):
    algorithm = make(task._replace(action=Discrete(4)), hidden_dims=(4,))
    state, n = algorithm.init(jax.random.key(1)), 20_000
    obs, goal = np.full((n, 3), 2, np.float32), np.ones((n, 2), np.int8)
    chosen = algorithm.act(jax.random.split(KEY, n), state, obs, goal, True)
    p = np.exp(log_probs(state.policy, "tanh", obs[:1], goal[:1]))[0]
    assert chisquare(np.bincount(chosen, minlength=4), n * p).pvalue > 0.001


@pytest.mark.parametrize(
    "wrong", [{"hidden_dims": (0,)}, {"learning_rate": 0}, {"batch_episodes": 0}, {"subgoals": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        hpg.Config(**wrong)


@pytest.mark.slow
def test_it_sets_four_bits():
    experiment = make_experiment(
        "FlipBit",
        "hpg",
        bits=4,
        zero_start=True,
        hidden_dims=(64,),
        learning_rate=2e-3,
        episodes_per_iteration=4,
        buffer_episodes=4,
        updates_per_iteration=1,
        env_steps=8_000,
        eval_interval=8_000,
    )
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, experiment.run.buffer_episodes)
    *_, last = iterations(env, algorithm, experiment.run, state, Counters())
    assert last.row["eval/success_rate"] > 0.9
