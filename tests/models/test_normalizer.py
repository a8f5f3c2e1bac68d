"""Running statistics against NumPy's of all the data at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hem.models import normalizer

ROWS, SIZE = 6, 2
update = jax.jit(normalizer.update)
normalize = jax.jit(normalizer.normalize)


def after(*batches: np.ndarray) -> normalizer.Statistics:
    stats = normalizer.init(SIZE)
    for rows in batches:
        stats = update(stats, rows, np.ones(len(rows), bool))
    return stats


@given(
    masks=st.lists(st.lists(st.booleans(), min_size=ROWS, max_size=ROWS), max_size=8),
    mean=st.floats(-100, 100),
    std=st.floats(0.1, 10),
    seed=st.integers(0, 99),
)
def test_statistics_are_those_of_all_valid_rows_however_they_came(masks, mean, std, seed):
    rng = np.random.default_rng(seed)
    batches = rng.normal(mean, std, (len(masks), ROWS, SIZE)).astype(np.float32)
    stats = normalizer.init(SIZE)
    for rows, mask in zip(batches, masks, strict=True):
        stats = update(stats, np.where(np.array(mask)[:, None], rows, 1e6), np.array(mask))
    valid = batches[np.array(masks, bool).reshape(len(masks), ROWS)].astype(np.float64)
    assert stats.seen == len(valid)
    if len(valid):
        scale = 1 + abs(mean)
        np.testing.assert_allclose(stats.mean, valid.mean(0), atol=1e-5 * scale)
        np.testing.assert_allclose(
            np.sqrt(stats.m2 / stats.seen), valid.std(0), rtol=1e-3, atol=1e-5 * scale
        )


def test_many_updates_do_not_drift():
    rows = np.random.default_rng(0).normal([50, -1], [0.5, 3], (3000, 50, SIZE))
    stats, _ = jax.lax.scan(
        lambda stats, x: (normalizer.update(stats, x, jnp.ones(50, bool)), None),
        normalizer.init(SIZE),
        jnp.array(rows, jnp.float32),
    )
    flat = rows.reshape(-1, SIZE)
    np.testing.assert_allclose(stats.mean, flat.mean(0), rtol=1e-3)
    np.testing.assert_allclose(np.sqrt(stats.m2 / stats.seen), flat.std(0), rtol=1e-3)


def test_normalized_data_have_zero_mean_and_unit_scale():
    rows = np.random.default_rng(0).normal([50, -1], [0.5, 30], (1000, SIZE)).astype(np.float32)
    out = np.asarray(normalize(after(rows), rows))
    np.testing.assert_allclose(out, (rows - rows.mean(0)) / rows.std(0), atol=1e-3)


def test_before_any_data_it_is_the_identity():
    x = np.random.default_rng(0).uniform(-5, 5, (4, 3, SIZE)).astype(np.float32)
    nothing = update(normalizer.init(SIZE), np.ones((3, SIZE)), np.zeros(3, bool))
    for stats in (normalizer.init(SIZE), nothing):
        np.testing.assert_array_equal(normalize(stats, x), x)


def test_outliers_are_clipped_to_five_deviations():
    stats = after(np.array([[-1.0, 0.0], [1.0, 10.0]]))  # means 0 and 5, deviations 1 and 5
    out = normalize(stats, np.array([[4.9, -19.0], [100.0, -1e9], [-5.1, 30.1]]))
    np.testing.assert_allclose(out, [[4.9, -4.8], [5.0, -5.0], [-5.0, 5.0]], rtol=1e-5)


def test_an_input_that_never_varied_is_centred_and_not_blown_up():
    stats = after(np.full((20, SIZE), 7.5), np.full((3, SIZE), 7.5))
    np.testing.assert_array_equal(normalize(stats, np.full((1, SIZE), 7.5)), 0)
    np.testing.assert_allclose(normalize(stats, np.full((1, SIZE), 7.52)), 2, rtol=1e-3)
