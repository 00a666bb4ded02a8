"""The running mean is that of all numbers at once, in any order, and stays exact over millions of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.moments import Moments

BATCHES = (np.array([0.3, 0.1, 4.0]), np.array([2.0]), np.array([0.5, 0.7, 0.2, 0.4, 9.0]))


merge, moments_of = jax.jit(Moments.merge), jax.jit(Moments.of)


def of(*batches, weights=None):
    """The moments of batches merged one after the other."""
    weights = weights or [np.ones(len(batch)) for batch in batches]
    moments = Moments.empty()
    for batch, own in zip(batches, weights, strict=True):
        moments = merge(moments, moments_of(*(jnp.asarray(x, jnp.float32) for x in (batch, own))))
    return moments


@jax.jit(static_argnames="turned")
def over(rows, *, turned=False):
    """The moments of rows merged one after the other; turned, each row with what was before it."""

    def step(moments, row):
        pair = (moments, Moments.of(row))
        return Moments.merge(*(reversed(pair) if turned else pair)), None

    return jax.lax.scan(step, Moments.empty(), rows)[0]


def assert_estimate(moments, values):
    mean, error, count = moments.estimate()
    assert count == values.size
    np.testing.assert_allclose(mean, values.mean(dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(error, values.std(ddof=1, dtype=np.float64) / np.sqrt(values.size), rtol=2e-6)


def test_batches_give_what_all_numbers_at_once_give():
    assert_estimate(of(*BATCHES), np.concatenate(BATCHES))


def test_the_order_of_batches_does_not_matter():
    one, other = of(*BATCHES), of(*reversed(BATCHES))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), one, other)


def test_nothing_merged_changes_nothing():
    some = of(*BATCHES)
    for merged in (merge(some, Moments.empty()), merge(Moments.empty(), some)):
        jax.tree.map(np.testing.assert_array_equal, merged, some)


def test_a_number_of_weight_0_is_left_out_also_if_it_is_nan():
    moments = of([1.0, np.nan, 4.0], [np.nan], weights=[[1, 0, 1], [0]])
    assert_estimate(moments, np.array([1.0, 4.0]))


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1e6])
def test_only_the_ratios_of_weights_matter(scale):
    weights = [np.array([1.0, 2.0, 0.5]), np.array([3.0])]
    one = of(*BATCHES[:2], weights=weights).estimate()
    other = of(*BATCHES[:2], weights=[scale * w for w in weights]).estimate()
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_weighted_standard_error_is_that_of_reliability_weights():
    values, weights = np.concatenate(BATCHES), np.linspace(0.1, 2, 9)
    mean, error, _ = of(values, weights=[weights]).estimate()
    total, squares = weights.sum(), (weights**2).sum()
    expected = (weights * values).sum() / total
    variance = (weights * (values - expected) ** 2).sum() / (total - squares / total)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    np.testing.assert_allclose(error, np.sqrt(variance * squares) / total, rtol=1e-6)


def test_one_number_has_no_spread_and_nothing_has_no_mean():
    assert [float(x) for x in of([3.0], weights=[[0.3]]).estimate()] == [3.0, np.inf, 1]
    mean, error, count = Moments.empty().estimate()
    assert np.isnan(mean) and np.isinf(error) and count == 0


def test_equal_numbers_have_no_spread():
    mean, error, _ = over(jnp.full((1000, 3), 0.1, jnp.float32)).estimate()
    assert (mean, error) == (np.float32(0.1), 0)


@pytest.mark.parametrize("turned", [False, True])
def test_millions_of_numbers_are_averaged_to_the_last_digits(turned):
    values = np.random.default_rng(0).lognormal(0, 0.5, (100_000, 20)).astype(np.float32)
    values[50_000:] *= 1.01  # a change that a mean which stands still does not see
    assert_estimate(over(values, turned=turned), values)
    plain = jax.jit(lambda rows: jax.lax.scan(lambda total, row: (total + row.sum(), None), jnp.float32(0), rows)[0])
    assert abs(plain(values) / values.size / values.mean(dtype=np.float64) - 1) > 1e-6  # what is avoided


def test_a_small_spread_of_large_numbers_is_seen():
    values = (1000 + np.random.default_rng(0).normal(0, 0.01, (20_000, 5))).astype(np.float32)
    assert_estimate(over(values), values)
