"""When each strategy says the goal was achieved: exact probabilities against frequencies."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.errors import UserError
from hem.hindsight import episode, final, future, geometric
from hem.replay import buffer as ring
from hem.types import Index, Replay

LONGEST = 5
LENGTHS = [3, 1, LONGEST, 2, 4]
STEPS = [(slot, t) for slot, steps in enumerate(LENGTHS) for t in range(steps)]
DRAWS = 20_000


def uniform(first: int, last: int) -> dict[int, float]:
    return dict.fromkeys(range(first, last + 1), 1 / (last - first + 1))


def truncated(g: float, t: int, length: int) -> dict[int, float]:
    """P(k) ~ g^(k - t) for t < k <= length."""
    weights = {k: g ** (k - t) for k in range(t + 1, length + 1)}
    return {k: weight / sum(weights.values()) for k, weight in weights.items()}


def geometric_at(g: float) -> tuple:
    return (
        geometric.make(geometric.Config(distance_discount=g)),
        lambda t, length: truncated(g, t, length),
    )


# Name -> the strategy, and its probability of each k given (t, length).
EXACT: dict[str, tuple[Callable, Callable[[int, int], dict[int, float]]]] = {
    "future": (future.make(future.Config()), lambda t, length: uniform(t + 1, length)),
    "final": (final.make(final.Config()), lambda t, length: {length: 1.0}),
    "episode": (episode.make(episode.Config()), lambda t, length: uniform(1, length)),
    **{f"geometric {g}": geometric_at(g) for g in (0.01, 0.5, 0.9, 0.999)},
}


@pytest.fixture(scope="module")
def replay(task, random_episodes) -> Replay:
    episodes = random_episodes(np.random.default_rng(0), task, LENGTHS)
    return ring.add(ring.init(task, len(LENGTHS) + 2), episodes)


@pytest.fixture(scope="module", params=EXACT)
def drawn(request, replay) -> tuple:
    """The exact probabilities of a strategy, and its k of every stored step, again and again."""
    strategy, exact = EXACT[request.param]
    index = Index(*jnp.array(STEPS, jnp.int32).T)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    return exact, jax.jit(jax.vmap(lambda key: strategy(key, replay, index)))(keys)


def test_times_of_goals_have_exactly_the_right_probabilities(drawn):
    exact, goal_step = drawn
    assert goal_step.dtype == jnp.int32
    for column, (slot, t) in enumerate(STEPS):
        chances = exact(t, LENGTHS[slot])
        counts = np.bincount(goal_step[:, column])
        assert set(np.flatnonzero(counts)) <= set(chances)  # t < k <= length, or 0 < k <= length
        for k, p in chances.items():
            seen = counts[k] if k < len(counts) else 0
            allowed = 5 * np.sqrt(DRAWS * p * (1 - p)) + 5 * (p < 1)  # five standard deviations
            assert abs(seen - DRAWS * p) <= allowed, f"{k=} after {t=} of {LENGTHS[slot]}"


def test_geometric_with_one_is_future_bit_for_bit(replay):
    index = ring.sample(jax.random.key(1), replay, 500)
    one, other = (
        make(jax.random.key(2), replay, index)
        for make in (geometric.make(geometric.Config(1.0)), EXACT["future"][0])
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("g", [0.0, -0.5, 1.01, float("nan")])
def test_geometric_wants_a_discount_between_zero_and_one(g):
    with pytest.raises(UserError, match="distance-discount"):
        geometric.Config(distance_discount=g)
