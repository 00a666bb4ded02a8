"""PSNR is the formula, and has a floor where images are equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import fidelity

pytest.importorskip("dm_pix", reason="dm-pix is not installed")


def test_it_is_minus_ten_decimals_of_the_mean_square():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (2, 3, 8, 9, 3)).astype(np.float32)
    expected = 10 * np.log10(np.mean((x.astype(float) - y) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(fidelity.negative_psnr(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-6)


@pytest.mark.parametrize(("difference", "expected"), [(0.1, -20), (1e-3, -60), (1e-4, -80), (1e-6, -100), (0, -100)])
def test_it_is_cut_at_100_decibels(difference, expected):
    x = jnp.zeros((1, 4, 4, 3))
    np.testing.assert_allclose(fidelity.negative_psnr(x, x + difference), expected, rtol=1e-5)


def test_the_gradient_is_that_of_the_logarithm():
    x, y = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.5)
    gradient = jax.grad(lambda image: fidelity.negative_psnr(x, image)[0])(y)
    np.testing.assert_allclose(gradient, 20 / np.log(10) / 0.5 / x.size, rtol=1e-5)
