"""Action distributions against SciPy's."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax
from scipy.stats import chisquare, kstest, multinomial, norm

from hem.models import distributions
from hem.models.distributions import ITSELF, MIN_LOG_STD, Exploration
from hem.types import Box, Discrete

FOUR = Discrete(4)
LOGITS = np.array([2.0, -1.0, 0.5, 0.0])
BOX = Box((-1.0, 2.0), (3.0, 2.5))  # centre 1 and 2.25, half ranges 2 and 0.25
CENTRE, HALF = np.array([1.0, 2.25]), np.array([2.0, 0.25])
DRAWS = 20_000
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def categorical() -> distributions.Head:
    return distributions.make(FOUR)


@pytest.fixture(scope="module")
def gaussian() -> distributions.Head:
    return distributions.make(BOX)


def categorical_log_prob(logits: np.ndarray, action: int) -> float:
    return multinomial.logpmf(np.arange(4) == action, 1, softmax(logits))


def gaussian_log_prob(mean: np.ndarray, log_std: np.ndarray, action: np.ndarray) -> float:
    """The density of an action in its own units, where the Gaussian is in half ranges."""
    return norm.logpdf(action, CENTRE + HALF * mean, HALF * np.exp(log_std)).sum()


def raw(log_std: np.ndarray) -> np.ndarray:
    """The global parameters that give this logarithm of the deviation."""
    return np.log(np.expm1(log_std - MIN_LOG_STD))


def explored(head: distributions.Head, outputs, params, exploration: Exploration) -> np.ndarray:
    keys = jax.random.split(KEY, DRAWS)
    rows = jnp.broadcast_to(jnp.asarray(outputs, jnp.float32), (DRAWS, head.outputs))
    return np.asarray(jax.jit(head.explore, static_argnums=3)(keys, rows, params, exploration))


def test_categorical_log_prob_is_scipy_s(categorical):
    logits = np.stack([LOGITS, 3 * LOGITS, LOGITS + 100, 0 * LOGITS])
    chosen = np.array([0, 3, 1, 2], np.int32)
    expected = [categorical_log_prob(*row) for row in zip(logits, chosen, strict=True)]
    got = categorical.log_prob(jnp.array(logits), categorical.init(), chosen)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("action", range(4))
def test_categorical_gradient_is_that_of_finite_differences(categorical, action):
    def log_prob(logits):
        return categorical.log_prob(logits[None], categorical.init(), jnp.array([action]))[0]

    expected = approx_fprime(LOGITS, lambda logits: categorical_log_prob(logits, action))
    np.testing.assert_allclose(jax.grad(log_prob)(jnp.array(LOGITS)), expected, atol=1e-5)


def test_categorical_greedy_is_the_likeliest_action(categorical):
    logits = np.random.default_rng(0).normal(size=(50, 4))
    greedy = categorical.greedy(jnp.array(logits))
    assert greedy.dtype == FOUR.dtype
    np.testing.assert_array_equal(greedy, logits.argmax(-1))


@pytest.mark.parametrize(
    ("noise", "temperature"), [(0.0, 1.0), (0.2, 1.0), (1.0, 1.0), (0.3, 0.5), (0.1, 4.0)]
)
def test_categorical_explores_by_a_mixture_of_policy_and_chance(categorical, noise, temperature):
    exploration = Exploration(random_eps=noise, temperature=temperature)
    actions = explored(categorical, LOGITS, categorical.init(), exploration)
    assert actions.dtype == FOUR.dtype
    policy = softmax(LOGITS) ** (1 / temperature)
    p = (1 - noise) * policy / policy.sum() + noise / 4
    assert chisquare(np.bincount(actions, minlength=4), DRAWS * p).pvalue > 0.001


@pytest.mark.parametrize("only", range(4))
def test_categorical_without_noise_never_takes_an_impossible_action(categorical, only):
    logits = np.where(np.arange(4) == only, 0.0, -1e9)
    actions = explored(categorical, logits, categorical.init(), ITSELF)
    assert set(actions) == {only}


def test_categorical_takes_no_impossible_action_at_the_end_of_its_range(categorical, monkeypatch):
    """A uniform number may be 0 exactly, though too rarely to wait for it."""
    monkeypatch.setattr(jax.random, "uniform", lambda key: jnp.zeros(()))
    logits = jnp.array([[-1e9, -1e9, 0.0, 0.0]])
    exploration = ITSELF
    chosen = categorical.explore(jax.random.split(KEY, 1), logits, categorical.init(), exploration)
    assert chosen == 2


def test_gaussian_log_prob_is_scipy_s_in_units_of_the_action(gaussian):
    rng = np.random.default_rng(0)
    mean, action = rng.normal(size=(20, 2)), rng.uniform(*BOX, size=(20, 2))
    log_std = np.array([-1.0, 0.3])
    expected = [gaussian_log_prob(m, log_std, a) for m, a in zip(mean, action, strict=True)]
    got = gaussian.log_prob(jnp.array(mean), raw(log_std), jnp.array(action))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_gaussian_gradients_are_those_of_finite_differences(gaussian):
    mean, log_std, action = np.array([0.3, -0.2]), np.array([-1.0, 0.3]), np.array([1.5, 2.4])

    def log_prob(mean, log_std):
        params = jnp.log(jnp.expm1(log_std - MIN_LOG_STD))
        return gaussian.log_prob(mean[None], params, jnp.array(action)[None])[0]

    by_mean, by_log_std = jax.grad(log_prob, (0, 1))(jnp.array(mean), jnp.array(log_std))
    expected = approx_fprime(mean, lambda x: gaussian_log_prob(x, log_std, action))
    np.testing.assert_allclose(by_mean, expected, rtol=1e-3)
    expected = approx_fprime(log_std, lambda x: gaussian_log_prob(mean, x, action))
    np.testing.assert_allclose(by_log_std, expected, rtol=1e-3)


def test_gaussian_deviation_has_a_floor(gaussian):
    mean, action = np.array([0.01, 0.0]), np.array([1.0, 2.25])
    params = jnp.array([-20.0, raw(0.0)])
    got = gaussian.log_prob(jnp.array(mean)[None], params, jnp.array(action)[None])[0]
    expected = gaussian_log_prob(mean, np.array([MIN_LOG_STD, 0.0]), action)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    actions = explored(gaussian, mean, params, ITSELF)
    np.testing.assert_allclose(actions[:, 0].std(), HALF[0] * np.exp(MIN_LOG_STD), rtol=0.05)


@pytest.mark.parametrize("name", ["", "censored", "squashed"])
def test_a_deviation_at_its_floor_grows_again(name):
    """Wherever it has got to: Adam makes much of any gradient that is large beside 1e-8."""
    head = distributions.make(BOX, name)
    far, mean = jnp.array([[2.5, 2.45]]), jnp.zeros((1, 2))
    for params in (0.0, -4.01, -10.0, -20.0):
        slope = jax.grad(lambda x: head.log_prob(mean, x, far).sum())(jnp.full(2, params))
        assert (np.asarray(slope) > 1e-6).all(), params


def test_gaussian_starts_at_half_of_half_the_range(gaussian):
    np.testing.assert_allclose(distributions.deviation(gaussian.init()), [0.5, 0.5], rtol=1e-6)


def censored_log_prob(mean: np.ndarray, log_std: np.ndarray, action: np.ndarray) -> float:
    """By SciPy: a bound has the probability of all that lies beyond it."""
    exact = norm(CENTRE + HALF * mean, HALF * np.exp(log_std))
    low, high = np.array(BOX.low), np.array(BOX.high)
    each = np.where(action >= high, exact.logsf(high), exact.logpdf(action))
    return np.where(action <= low, exact.logcdf(low), each).sum()


def test_censored_log_prob_and_its_gradient_are_scipy_s():
    head, rng = distributions.make(BOX, "censored"), np.random.default_rng(0)
    mean, log_std = rng.normal(size=(40, 2)), np.array([-1.0, 0.3])
    action = np.clip(rng.normal(CENTRE, 2 * HALF, (40, 2)), *BOX)
    assert 20 < np.isin(action, [*BOX.low, *BOX.high]).sum() < 60
    got = head.log_prob(jnp.array(mean), raw(log_std), jnp.array(action))
    expected = [censored_log_prob(m, log_std, a) for m, a in zip(mean, action, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-3)

    slope = jax.grad(lambda m: head.log_prob(m, raw(log_std), jnp.array(action)).sum())
    by_mean = np.asarray(slope(jnp.array(mean)))
    for row in range(40):
        exact = approx_fprime(mean[row], lambda m, a=action[row]: censored_log_prob(m, log_std, a))
        np.testing.assert_allclose(by_mean[row], exact, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("mean", [-1e4, 1e4])
def test_censored_gradients_are_finite_however_far_the_mean(mean):
    head = distributions.make(BOX, "censored")
    every = jnp.array([BOX.low, BOX.high, CENTRE])
    slopes = jax.grad(lambda *x: head.log_prob(*x, every).sum(), (0, 1))(
        jnp.full((3, 2), mean), head.init()
    )
    assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("mean", [0.0, 0.8, 1.0, 1.2])
def test_the_score_of_what_is_executed_is_the_gradient_of_the_expected_reward(mean):
    """Of 1[a at the upper bound], which is norm.sf((1 - mean) / std)."""
    head, n = distributions.make(Box((-1.0,), (1.0,)), "censored"), 200_000
    keys, rows = jax.random.split(KEY, n), jnp.full((n, 1), mean)
    action = head.explore(keys, rows, head.init(), ITSELF)
    reward = action[:, 0] >= 1

    def objective(mean):
        return jnp.mean(reward * head.log_prob(jnp.full((n, 1), mean), head.init(), action))

    expected = norm.pdf((1 - mean) / 0.5) / 0.5
    np.testing.assert_allclose(jax.grad(objective)(mean), expected, rtol=0.02)


@pytest.mark.parametrize(
    ("noise", "temperature"), [(0.0, 1.0), (0.15, 1.0), (0.0, 0.25), (0.1, 2.0)]
)
def test_gaussian_explores_by_a_sample_and_independent_noise(gaussian, noise, temperature):
    mean, std = np.array([0.1, -0.2]), np.array([0.1, 0.05])  # clipped once in a million
    exploration = Exploration(action_noise=noise, temperature=temperature)
    actions = explored(gaussian, mean, jnp.array(raw(np.log(std))), exploration)
    spread = HALF * np.sqrt(temperature * std**2 + noise**2)
    for dim in range(2):
        exact = norm(CENTRE[dim] + HALF[dim] * mean[dim], spread[dim])
        assert kstest(actions[:, dim], exact.cdf).pvalue > 0.001
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.04


def test_gaussian_actions_stay_within_bounds(gaussian):
    actions = explored(gaussian, [0.9, -0.9], gaussian.init(), Exploration(action_noise=0.5))
    low, high = np.float32(BOX.low), np.float32(BOX.high)
    assert ((actions >= low) & (actions <= high)).all()
    assert (actions[:, 0] == high[0]).mean() > 0.3
    assert (actions[:, 1] == low[1]).mean() > 0.3
    beyond = gaussian.greedy(jnp.array([[1.5, -3.0], [-1.5, 3.0]]))
    np.testing.assert_array_equal(beyond, [[high[0], low[1]], [low[0], high[1]]])


def test_gaussian_greedy_is_the_mean_in_units_of_the_action(gaussian):
    mean = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    np.testing.assert_allclose(gaussian.greedy(jnp.array(mean)), CENTRE + HALF * mean, rtol=1e-5)


def grid(bins: int) -> np.ndarray:
    """Every action [bins^2, 2] of a grid over BOX."""
    sides = [np.linspace(low, high, bins) for low, high in zip(*BOX, strict=True)]
    return np.float32(list(itertools.product(*sides)))


def nearest(executed: np.ndarray, bins: int) -> np.ndarray:
    """Which value [N, 2] of each dimension is nearest."""
    sides = [np.linspace(low, high, bins) for low, high in zip(*BOX, strict=True)]
    return np.stack([np.abs(executed[:, d, None] - sides[d]).argmin(1) for d in range(2)], axis=1)


def test_a_small_grid_has_a_logit_for_each_of_its_cells():
    head = distributions.make(BOX, "binned", 3)
    assert head.outputs == 9
    one_cell = np.asarray(head.greedy(100 * jnp.eye(9)))
    order = np.lexsort(one_cell.T[::-1])
    np.testing.assert_allclose(one_cell[order], grid(3), rtol=1e-6)  # each cell once
    logits = np.random.default_rng(0).normal(size=9)
    got = head.log_prob(jnp.tile(logits, (9, 1)), head.init(), jnp.asarray(one_cell))
    np.testing.assert_allclose(got, log_softmax(logits), rtol=1e-5)


def test_a_large_grid_has_logits_for_each_dimension():
    head = distributions.make(BOX, "binned", 11)
    assert head.outputs == 22
    logits = np.random.default_rng(0).normal(size=(121, 2, 11))
    flat = jnp.asarray(logits.reshape(121, 22))
    which = np.array(list(itertools.product(range(11), repeat=2)))
    expected = np.take_along_axis(log_softmax(logits, axis=-1), which[..., None], -1).sum((1, 2))
    got = head.log_prob(flat, head.init(), jnp.asarray(grid(11)))
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    greedy = logits.argmax(-1)
    np.testing.assert_array_equal(nearest(np.asarray(head.greedy(flat)), 11), greedy)


@pytest.mark.parametrize("bins", [2, 3, 11])
def test_an_action_between_the_values_counts_as_the_nearest(bins):
    head, rng = distributions.make(BOX, "binned", bins), np.random.default_rng(0)
    executed = rng.uniform(*BOX, (200, 2)).astype(np.float32)
    which = nearest(executed, bins)
    on_grid = grid(bins).reshape(bins, bins, 2)[which[:, 0], which[:, 1]]
    logits = jnp.asarray(rng.normal(size=(200, head.outputs)))
    got, expected = (
        head.log_prob(logits, head.init(), jnp.asarray(x)) for x in (executed, on_grid)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("bins", [3, 11])
def test_a_grid_is_explored_by_a_mixture_of_policy_and_chance(bins):
    """Probabilities of the whole grid add up to 1, and samples, all within bounds, have them."""
    head = distributions.make(BOX, "binned", bins)
    logits = np.random.default_rng(0).normal(size=head.outputs)
    rows = jnp.tile(logits, (bins**2, 1))
    p = np.exp(head.log_prob(rows, head.init(), jnp.asarray(grid(bins)))).astype(float)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    actions = explored(head, logits, head.init(), ITSELF)
    assert ((actions >= np.float32(BOX.low)) & (actions <= np.float32(BOX.high))).all()
    cell = nearest(actions, bins) @ [bins, 1]
    assert chisquare(np.bincount(cell, minlength=bins**2), DRAWS * p / p.sum()).pvalue > 0.001
    for eps in (0.4, 1.0):  # of actions that are random in both dimensions
        mixed = nearest(explored(head, logits, head.init(), Exploration(random_eps=eps)), bins)
        counts = np.bincount(mixed @ [bins, 1], minlength=bins**2)
        expected = (1 - eps) * p / p.sum() + eps / bins**2
        assert chisquare(counts, DRAWS * expected).pvalue > 0.001


@pytest.mark.parametrize("bins", [3, 11])
def test_a_grid_s_noise_is_around_its_values_and_within_bounds(bins):
    head = distributions.make(BOX, "binned", bins)
    middle = np.float32(np.mean(BOX, axis=0))
    sure = 100.0 * np.isclose(grid(bins), middle).all(1)
    logits = sure if head.outputs == bins**2 else 100.0 * np.tile(np.eye(bins)[bins // 2], 2)
    order = np.arange(head.outputs)
    if head.outputs == bins**2:  # in the head's own order of cells
        own = np.asarray(head.greedy(100 * jnp.eye(bins**2)))
        order = [int(np.isclose(grid(bins), action).all(1).argmax()) for action in own]
    noisy = explored(head, logits[order], head.init(), Exploration(action_noise=0.1))
    unit = (noisy - middle) / (np.subtract(*BOX[::-1]) / 2)
    for d in range(2):
        assert kstest(unit[:, d], norm(scale=0.1).cdf).pvalue > 0.001
    wide = explored(head, logits[order], head.init(), Exploration(action_noise=3.0))
    assert ((wide >= np.float32(BOX.low)) & (wide <= np.float32(BOX.high))).all()
    assert (wide == np.float32(BOX.high)).mean() > 0.2  # clipped, not drawn again
