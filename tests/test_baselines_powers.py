"""Roots and powers are what NumPy computes, and their gradient is 0 where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import powers


@pytest.mark.parametrize(
    ("function", "exponent"), [(powers.root, 0.5), (lambda x: powers.power(x, 0.25), 0.25)], ids=["root", "power"]
)
def test_it_is_the_power_with_a_finite_gradient(function, exponent):
    x = jnp.array([-1.0, 0.0, 1e-20, 0.5, 9.0])
    value, gradient = function(x), jax.vmap(jax.grad(function))(x)
    np.testing.assert_allclose(value, np.maximum(x, 0) ** exponent, rtol=1e-6)
    np.testing.assert_array_equal(gradient[:2], 0)
    np.testing.assert_allclose(gradient[2:], exponent * np.asarray(x[2:]) ** (exponent - 1), rtol=1e-5)
