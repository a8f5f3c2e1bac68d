"""Weights by a learned distance, against the number of steps that listed episodes took."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, logsumexp

from hem.algorithms import hem
from hem.errors import UserError
from hem.hindsight import final, future
from hem.learners import distance
from hem.learners.distance import DistanceState
from hem.models import policy as policies
from hem.replay import buffer as ring
from hem.replay import estep
from hem.types import Algorithm, Batch, Discrete, Episodes, Replay, Strategy, Task
from tests.algorithms import enumerated

STRAIGHT, DETOUR = [0, 2], [0, 1, 0, 2]  # places, by their numbers
PLACES, ACTIONS = 3, {(0, 2): 0, (0, 1): 1, (1, 0): 2}  # of a step from a place to another


@pytest.fixture(scope="module")
def crossing() -> Task:
    """Three places; the goal is to be at one of them."""
    return Task(
        name="Crossing",
        obs_shape=(PLACES,),
        obs_dtype=np.dtype(np.int8),
        goal_shape=(PLACES,),
        goal_dtype=np.dtype(np.int8),
        action=Discrete(len(ACTIONS)),
        horizon=3,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=True,
        version_hash="Crossing-v0",
    )


def walked(*ways: list[int]) -> Episodes:
    """Episodes of at most three steps, one for each way."""
    n, eye = len(ways), np.eye(PLACES, dtype=np.int8)
    at, action = np.zeros((n, 4), int), np.zeros((n, 3), np.int32)
    for row, way in enumerate(ways):
        at[row, : len(way)] = way
        action[row, : len(way) - 1] = [ACTIONS[step] for step in itertools.pairwise(way)]
    length = np.array([len(way) - 1 for way in ways], np.int32)
    goal = eye[[way[-1] for way in ways]]
    return Episodes(eye[at], eye[at], goal, action, length, np.zeros(n, bool))


def learnt(algorithm: Algorithm, replay: Replay, updates: int) -> hem.HemState:
    def update(state: hem.HemState, key: jax.Array) -> tuple[hem.HemState, None]:
        return algorithm.m_step(key, state, algorithm.e_step(key, state, replay))[0], None

    keys = jax.random.split(jax.random.key(1), updates)
    return jax.jit(lambda state: jax.lax.scan(update, state, keys)[0])(
        algorithm.init(jax.random.key(0))
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_detour_counts_less(crossing, beta):
    """At the crossing, a step is on the straight way 4 times in 5: P = 4 / (4 + exp(-2 beta))."""
    config = hem.Config(hidden_dims=(32,), batch_size=256, distance_weight=beta)
    algorithm = hem.make(config, crossing, final.make(final.Config()))
    replay = ring.add(ring.init(crossing, 2), walked(STRAIGHT, DETOUR))
    state = learnt(algorithm, replay, 1500)
    there, goal = np.eye(PLACES, dtype=np.int8)[[[0], [2]]]
    right = np.array([ACTIONS[0, 2]])
    chance = np.exp(algorithm.policy.log_prob(state.policy, there, goal, right))[0]
    assert chance == pytest.approx(4 / (4 + np.exp(-2 * beta)), abs=0.02)


def pairs(replay: Replay) -> tuple[np.ndarray, np.ndarray]:
    """Each step and later time of all episodes, and how likely it is that ``future`` draws them."""
    found, chances = [], []
    for episode, length in enumerate(np.asarray(replay.data.length)):
        for t in range(length):
            for k in range(t + 1, length + 1):
                found.append((episode, t, k))
                chances.append(1 / (length * (length - t)))
    return np.array(found), np.array(chances)


@pytest.mark.parametrize("terminates", [True, False])
def test_weights_are_those_of_all_episodes(terminates):
    """With every pair listed, E[exp(-beta n) | s, g] is a mean in NumPy."""
    env, beta = enumerated.two_bits(terminates), 0.7
    episodes = enumerated.all_episodes(env)
    replay = ring.add(ring.init(env.task, len(episodes.length)), episodes)
    config = hem.Config(hidden_dims=(64,), batch_size=512, learning_rate=3e-3, distance_weight=beta)
    strategy = future.make(future.Config())
    algorithm = hem.make(config, env.task, strategy)
    state = learnt(algorithm, replay, 1500)
    batch = algorithm.e_step(jax.random.key(2), state, replay)

    (e, t, k), chances = pairs(replay)[0].T, pairs(replay)[1]
    data = jax.tree.map(np.asarray, replay.data)
    at, goals = data.obs[e, t], data.achieved[e, k]

    def mean(obs: np.ndarray, goal: np.ndarray) -> float:
        same = (at == obs).all(1) & (goals == goal).all(1)
        return np.average(np.exp(-beta * (k - t)[same]), weights=chances[same])

    rows = zip(*(np.asarray(x) for x in (batch.obs, batch.next_obs, batch.goal)), strict=True)
    expected = [
        np.exp(-beta) * (1 if (after == goal).all() else mean(after, goal)) / mean(obs, goal)
        for obs, after, goal in rows
    ]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(batch.weight, expected, rtol=0.1)


class Small:
    """A distance of a task with random episodes, and a batch."""

    def __init__(self, task: Task, episodes: Episodes, beta: float = 0.5) -> None:
        policy = policies.make(policies.spec_of(task, (4,)))
        self.spec, self.horizon = policy.spec, task.horizon
        self.functions = distance.make(policy.spec, task.horizon, beta, optax.adam(0.01))
        self.policy = policy.observe(policy.init(jax.random.key(0)), episodes)
        self.state = self.functions.init(jax.random.key(1))
        replay = ring.add(ring.init(task, len(episodes.length)), episodes)
        strategy: Strategy = future.make(future.Config())
        self.batch: Batch = estep.hindsight(jax.random.key(2), replay, task, strategy, 32)

    def log_probs(self, obs: np.ndarray) -> np.ndarray:
        """Of 1, 2, ... steps, by the network in NumPy."""
        scores = enumerated.outputs(self.policy, "relu", obs, self.batch.goal, self.state.params)
        return log_softmax(scores, axis=1)


@pytest.fixture
def small(task, random_episodes) -> Small:
    return Small(task, random_episodes(np.random.default_rng(0), task, [5, 4, 5, 2]))


def test_the_loss_is_the_likelihood_of_the_steps_that_were_taken(small):
    drawn = np.arange(32) % 3 > 0
    batch = small.batch._replace(weight=3.0 * drawn)  # only whether there is a weight counts
    state, loss = small.functions.m_step(small.state, small.policy, batch)
    of_each = small.log_probs(batch.obs)[np.arange(32), np.asarray(batch.steps_to_goal) - 1]
    np.testing.assert_allclose(loss, -np.sum(of_each * drawn) / 32, rtol=1e-4)
    assert isinstance(state, DistanceState)
    _, later = small.functions.m_step(state, small.policy, batch)
    assert later < loss


def test_the_weight_is_the_formula_s(small):
    steps = np.arange(1, small.horizon + 1)
    now, later = (
        logsumexp(small.log_probs(obs) - 0.5 * steps, axis=1)
        for obs in (small.batch.obs, small.batch.next_obs)
    )
    later = np.where(np.asarray(small.batch.reward) > 0, 0, later)
    weight = small.functions.weight(small.state, small.policy, small.batch)
    np.testing.assert_allclose(weight, np.exp(later - 0.5 - now), rtol=1e-3)
    assert {True, False} == set(np.asarray(small.batch.reward) > 0)


@pytest.mark.parametrize("beta", [1e-6, 100.0])
def test_weights_are_bounded_whatever_the_estimate(task, random_episodes, beta):
    rng = np.random.default_rng(0)
    small = Small(task, random_episodes(rng, task, [5, 4, 5, 2]), beta)
    wrong = small.state._replace(params=jax.tree.map(lambda x: 100 * x, small.state.params))
    for state in (small.state, wrong):
        weight = np.asarray(small.functions.weight(state, small.policy, small.batch))
        assert ((weight > 0) & (weight <= distance.HEAVIEST)).all()
        if state is small.state and beta < 1:
            np.testing.assert_allclose(weight, 1, atol=1e-3)
    if beta > 1:
        assert {distance.HEAVIEST} < set(weight.tolist())


def test_a_pair_that_was_not_found_has_no_weight(crossing):
    """With all goals achieved already, there is none to learn from, and no step gets a weight."""
    config = hem.Config(hidden_dims=(4,), skip_achieved=True, distance_weight=1.0)
    algorithm = hem.make(config, crossing, final.make(final.Config()))
    there = walked(STRAIGHT)
    there = there._replace(obs=there.obs[:, [2] * 4], achieved=there.achieved[:, [2] * 4])
    replay = ring.add(ring.init(crossing, 1), there)
    state = algorithm.observe(algorithm.init(jax.random.key(0)), there)
    batch = algorithm.e_step(jax.random.key(1), state, replay)
    np.testing.assert_array_equal(batch.weight, 0)
    _, metrics = algorithm.m_step(jax.random.key(2), state, batch)
    assert {name: float(value) for name, value in metrics.items()} == {
        "loss": 0.0,
        "distance_loss": 0.0,
    }


def test_without_weights_the_state_is_what_it_was(task):
    """So checkpoints from before there were weights still fit."""

    def leaves(**settings: float) -> list[str]:
        algorithm = hem.make(hem.Config(**settings), task, future.make(future.Config()))
        state = jax.eval_shape(algorithm.init, jax.random.key(0))
        return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)]

    before, after = leaves(), leaves(distance_weight=1.0)
    assert all(path.startswith((".policy", ".opt_state")) for path in before)
    assert before == [path for path in after if not path.startswith(".distance")] != after


@pytest.mark.parametrize("weight", [-1.0, 101.0, float("nan")])
def test_a_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(UserError, match="distance-weight must be"):
        hem.Config(distance_weight=weight)
