"""Divisive normalisation divides by what it says, near borders too, and never by nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model import mixture, normalisation
from pim_jax.model.mixture import Mixture


def random(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("size", [(9, 12), (1, 7), (3, 2), (1, 1)], ids=str)
def test_variance_is_that_of_the_samples_of_the_box_within_the_band(size):
    z = np.asarray(random((2, *size, 4)))
    found = normalisation.local_variance(jnp.asarray(z))
    for row, column in np.ndindex(size):
        box = z[:, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        np.testing.assert_allclose(found[:, row, column], box.var((1, 2)).mean(-1), rtol=1e-5, atol=1e-7)


def test_variance_of_long_vectors_that_hardly_vary_does_not_cancel():
    z = 0.01 * random((1, 8, 9, 10))
    wanted = normalisation.local_variance(z)
    np.testing.assert_allclose(normalisation.local_variance(z + 100), wanted, rtol=0.02)
    np.testing.assert_allclose(normalisation.local_variance(jnp.full((1, 8, 9, 10), 123.4)), 0, atol=1e-9)


def test_a_position_depends_on_its_box_alone():
    z = random((1, 12, 13, 10))
    changed = np.asarray(normalisation.local_variance(z) != normalisation.local_variance(z.at[0, 6, 5, 0].add(1.0)))[0]
    rows, columns = np.nonzero(changed)
    assert {*rows} == {*range(4, 9)} and {*columns} == {*range(3, 8)}


@pytest.mark.slow(kept="the doctests of normalisation")
def test_means_are_divided_and_nothing_else():
    q = Mixture(random((1, 6, 7, 3, 10)), random((1, 6, 7, 3), 1))
    found = normalisation.normalise(q, 0.5)
    divisor = jnp.sqrt(0.5 + normalisation.local_variance(mixture.mean(q)))
    np.testing.assert_allclose(found.means * divisor[..., None, None], q.means, rtol=1e-5)
    np.testing.assert_array_equal(found.logits, q.logits)


def test_scaling_z_and_the_root_of_the_constant_changes_nothing():
    q = mixture.gaussian(random((1, 6, 7, 10)))
    scaled = mixture.gaussian(8 * q.means[..., 0, :])
    one, other = normalisation.normalise(q, 1.0), normalisation.normalise(scaled, 64.0)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-5)


@pytest.mark.slow(kept="its values")
@pytest.mark.parametrize("value", [0.0, 5.0, 1e4])
def test_gradients_are_finite_where_nothing_varies(value):
    z = jnp.full((1, 6, 7, 10), value)
    gradient = jax.grad(lambda z: normalisation.normalise(mixture.gaussian(z), 0.1).means.sum())(z)
    assert bool(jnp.isfinite(gradient).all())
