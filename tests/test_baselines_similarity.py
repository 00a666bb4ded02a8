"""What a similarity lacks to 1 is computed without losing digits, and weighted means know of nothing to weigh."""

import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import similarity


@pytest.mark.parametrize("masking", [0.0, 0.5])
def test_it_is_one_minus_the_similarity(masking):
    a, b = np.random.default_rng(0).normal(0, 5, (2, 40))
    similar = ((2 - masking) * a * b + 3) / (a**2 + b**2 - masking * a * b + 3)
    found = similarity.dissimilarity(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), 3.0, masking)
    np.testing.assert_allclose(found, 1 - similar, rtol=1e-4)


def test_small_differences_keep_their_digits_and_no_difference_is_zero():
    a = jnp.array([100.0, 100.0])
    b = jnp.array([100.0, 100.0 + 2**-10])
    expected = 2.0**-20 / (100.0**2 + float(b[1]) ** 2 + 1)
    np.testing.assert_allclose(similarity.dissimilarity(a, b, 1.0), [0, expected], rtol=1e-6)


def test_one_map_of_weights_serves_many():
    values, weights = jnp.arange(8.0).reshape(2, 2, 2), jnp.array([[[0.0, 1.0], [3.0, 0.0]]])
    np.testing.assert_allclose(similarity.weighted_mean(values, weights), [(1 + 6) / 4, (5 + 18) / 4])
