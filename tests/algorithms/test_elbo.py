"""The metric ``elbo`` against Eq. 5's sum over trajectories, enumerated from a small replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.algorithms import gcsl, hem, her
from hem.hindsight import episode, final, future, geometric
from hem.replay import buffer as ring
from hem.replay import estep
from hem.training.learning import init_state, make_learn
from hem.types import Algorithm, Batch, Box, Discrete, Index, Replay, Task

LENGTHS, FAILED = [2, 5, 4, 1], [False, False, True, False]
USED = [2, 5, 3, 1]  # steps that may be imitated
DISCOUNT = 0.7
BOX = Box((-1.0, 0.0), (3.0, 0.5))


def uniform(t: int, steps: int) -> np.ndarray:
    return np.ones(steps - t) / (steps - t)


def discounted(t: int, steps: int) -> np.ndarray:
    weight = DISCOUNT ** np.arange(1, steps - t + 1)
    return weight / weight.sum()


def last(t: int, steps: int) -> np.ndarray:
    return np.eye(steps - t)[-1]


# The strategy, and its probabilities of k = t + 1, ..., steps.
STRATEGIES = {
    "future": (future.make(future.Config()), uniform),
    "geometric": (geometric.make(geometric.Config(DISCOUNT)), discounted),
    "final": (final.make(final.Config()), last),
}


class Drawn(NamedTuple):
    """Every pair that the E-step may draw, with its probability."""

    algorithm: Algorithm
    task: Task
    replay: Replay
    drawn: dict[tuple[int, int, int], float]  # of (episode, t, k)
    ends: Callable[[int, int, int], int]  # when a trajectory of (episode, i, k) ends


@pytest.fixture(scope="module", params=STRATEGIES)
def every(request, task, random_episodes) -> Callable[..., Drawn]:
    strategy, chances = STRATEGIES[request.param]
    drawn = {
        (e, t, t + 1 + d): p / len(USED) / steps
        for e, steps in enumerate(USED)
        for t in range(steps)
        for d, p in enumerate(chances(t, steps))
    }

    def make(action: Discrete | Box, skip_achieved: bool = False) -> Drawn:
        of = task._replace(action=action)
        episodes = random_episodes(np.random.default_rng(0), of, LENGTHS)
        episodes = episodes._replace(failed=np.array(FAILED))
        replay = ring.add(ring.init(of, len(LENGTHS)), episodes)
        config = hem.Config(hidden_dims=(4,), batch_size=256, skip_achieved=skip_achieved)
        algorithm = hem.make(config, of, strategy)
        if not skip_achieved:
            return Drawn(algorithm, of, replay, drawn, lambda e, i, k: k)

        def reached(e: int, t: int, k: int) -> bool:
            return bool(of.success(episodes.achieved[e, t], episodes.achieved[e, k]))

        kept = {pair: p for pair, p in drawn.items() if not reached(*pair)}
        kept = {pair: p / sum(kept.values()) for pair, p in kept.items()}
        return Drawn(
            algorithm, of, replay, kept,
            lambda e, i, k: next(t for t in range(i + 1, k + 1) if reached(e, t, k)),
        )  # fmt: skip

    return make


def trajectories(drawn: dict[tuple[int, int, int], float]) -> dict[tuple[int, int, int], float]:
    """q(episode, i, k), of which the drawn are the steps: differences, then made to sum to 1."""
    rises = {(e, t, k): p - drawn.get((e, t - 1, k), 0) for (e, t, k), p in drawn.items()}
    assert min(rises.values()) > -1e-12
    total = sum(rises.values())
    return {where: p / total for where, p in rises.items()}


def batch_of(every: Drawn) -> Batch:
    """All pairs in one batch, weighted by their probability."""
    e, t, k = np.array(list(every.drawn), np.int32).T
    replay, index = estep.before_failure(every.replay), Index(e, t)
    goal = estep.achieved_goal(replay, index, k)
    batch = estep.transitions(replay, every.task, index, goal, k)
    return batch._replace(weight=jnp.array(list(every.drawn.values()), jnp.float32) * len(e))


def state_of(every: Drawn):
    return every.algorithm.observe(every.algorithm.init(jax.random.key(0)), every.replay.data)


def bound(every: Drawn) -> float:
    """E_q[sum_t log pi(a_t | s_t, g)], a sum over trajectories of sums over their steps."""
    data, policy = every.replay.data, state_of(every).policy
    cells = [(e, t, k) for e, n in enumerate(USED) for k in range(1, n + 1) for t in range(k)]
    e, t, k = np.array(cells).T
    found = every.algorithm.policy.log_prob(
        policy, data.obs[e, t], data.achieved[e, k], data.action[e, t]
    )
    log_pi = dict(zip(cells, np.asarray(found, np.float64).tolist(), strict=True))
    return sum(
        p * sum(log_pi[e, t, k] for t in range(i, every.ends(e, i, k)))
        for (e, i, k), p in trajectories(every.drawn).items()
    )


@pytest.mark.parametrize("skip_achieved", [False, True])
@pytest.mark.parametrize("action", [Discrete(3), BOX], ids=["discrete", "box"])
def test_it_is_the_sum_over_the_trajectories_of_which_the_steps_are_drawn(
    every, action, skip_achieved
):
    every = every(action, skip_achieved)
    assert sum(every.drawn.values()) == pytest.approx(1)
    _, metrics = every.algorithm.m_step(jax.random.key(0), state_of(every), batch_of(every))
    over, under = metrics["elbo"]
    assert float(over / under) == pytest.approx(bound(every), rel=1e-5)
    steps = sum(p * (every.ends(e, i, k) - i) for (e, i, k), p in trajectories(every.drawn).items())
    assert 1 / float(under) == pytest.approx(steps, rel=1e-5)


@pytest.mark.parametrize("skip_achieved", [False, True])
def test_the_e_step_draws_these_steps(every, skip_achieved):
    every, batches = every(Discrete(3), skip_achieved), 400
    state = state_of(every)

    def measured(key):
        batch = every.algorithm.e_step(key, state, every.replay)
        return tuple(every.algorithm.m_step(key, state, batch)[1]["elbo"])

    over, under = jax.lax.map(jax.jit(measured), jax.random.split(jax.random.key(1), batches))
    ratio = float(over.mean() / under.mean())
    noise = np.std((over - ratio * under) / under.mean()) / np.sqrt(batches)
    assert abs(ratio - bound(every)) < 4 * noise


def test_a_run_records_the_ratio_of_the_means(task, random_episodes):
    """A batch may have no step right before its goal; then an iteration has, or has no value."""
    episodes = random_episodes(np.random.default_rng(0), task, [5] * 4)
    algorithm = hem.make(hem.Config((4,), batch_size=2), task, STRATEGIES["final"][0])
    shares = []

    def learn(updates: int, counted: bool = True) -> float:
        def m_step(key, state, batch):
            _, metrics = algorithm.m_step(key, state, batch)
            jax.debug.callback(lambda *x: shares.append(x), *metrics["elbo"])
            if not counted:
                metrics["elbo"] = metrics["elbo"]._replace(denominator=jnp.float32(0))
            return state, metrics

        start = init_state(task, algorithm, 0, 4)
        _, metrics, bad = make_learn(task, algorithm._replace(m_step=m_step), updates)(
            start, episodes
        )
        assert not any(bad.values())
        return float(metrics["train/elbo"])

    value = learn(updates=20)
    over, under = np.mean(shares, axis=0)
    assert min(share for _, share in shares) == 0 < under
    assert value == pytest.approx(over / under, rel=1e-5)
    assert np.isnan(learn(updates=2, counted=False))


def test_whole_episodes_are_the_trajectories_of_goals_before_and_after(task, random_episodes):
    length = 4
    of = random_episodes(np.random.default_rng(0), task, [length] * 3)
    replay = ring.add(ring.init(task, 3), of)
    algorithm = hem.make(hem.Config((4,), batch_size=4000), task, episode.make(episode.Config()))
    state = algorithm.init(jax.random.key(0))
    batch = algorithm.e_step(jax.random.key(1), state, replay)
    over, under = algorithm.m_step(jax.random.key(0), state, batch)[1]["elbo"]
    assert 1 / float(under) == pytest.approx(length, rel=0.1)
    e, k, t = np.indices((3, length, length)).reshape(3, -1)
    args = of.obs[e, t], of.achieved[e, k + 1], of.action[e, t]
    total = float(algorithm.policy.log_prob(state.policy, *args).sum()) / 3 / length
    assert float(over / under) == pytest.approx(total, rel=0.1)


@pytest.mark.parametrize("other", [gcsl, her])
def test_other_algorithms_have_none(task, random_episodes, other):
    episodes = random_episodes(np.random.default_rng(0), task, [5] * 4)
    algorithm = other.make(other.Config(hidden_dims=(4,)), task, STRATEGIES["future"][0])
    learn = make_learn(task, algorithm, 2)
    _, metrics, _ = learn(init_state(task, algorithm, 0, 4), episodes)
    assert "train/elbo" not in metrics
