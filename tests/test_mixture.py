"""Theorems about mixtures of Gaussians."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from pim_jax.model import mixture
from pim_jax.model.mixture import Mixture

# Compiled as a whole: one by one, their operations take several times as long.
log_prob = jax.jit(mixture.log_prob)
symmetric_kl_monte_carlo = jax.jit(mixture.symmetric_kl_monte_carlo, static_argnums=3)


def random_mixture(seed, components, shape=(2, 3), dimensions=4, spread=1.0):
    key, other = jax.random.split(jax.random.key(seed))
    means = spread * jax.random.normal(key, (*shape, components, dimensions))
    return Mixture(means, jax.random.normal(other, (*shape, components)))


def test_density_equals_that_of_scipy():
    m, z = random_mixture(0, 3, shape=()), jax.random.normal(jax.random.key(1), (4,))
    weights = np.exp(m.logits) / np.exp(m.logits).sum()
    density = sum(w * multivariate_normal(mean).pdf(z) for w, mean in zip(weights, np.asarray(m.means), strict=True))
    assert float(log_prob(m, z)) == pytest.approx(math.log(density), rel=1e-5)


def test_one_component_has_the_mean_as_its_mode():
    m = random_mixture(0, 1)
    at_mean = log_prob(m, mixture.mean(m))
    np.testing.assert_allclose(at_mean, -2 * math.log(2 * math.pi), rtol=1e-6)
    assert bool(jnp.all(log_prob(m, mixture.mean(m) + 0.1) < at_mean))


def test_equal_components_are_one_component():
    single = random_mixture(0, 1)
    several = Mixture(jnp.repeat(single.means, 5, -2), random_mixture(1, 5).logits)
    z = jax.random.normal(jax.random.key(2), (2, 3, 4))
    np.testing.assert_allclose(log_prob(several, z), log_prob(single, z), rtol=1e-5)


def test_samples_have_the_mean_and_the_spread_of_the_mixture():
    m = random_mixture(0, 3, shape=(2,), spread=3.0)
    z = mixture.sample(m, mixture.noise(m, jax.random.key(1), 40_000))
    assert z.shape == (40_000, 2, 4)
    np.testing.assert_allclose(z.mean(0), mixture.mean(m), atol=0.1)
    weights = jax.nn.softmax(m.logits)[..., None]
    variance = 1 + (weights * (m.means - mixture.mean(m)[..., None, :]) ** 2).sum(-2)
    np.testing.assert_allclose(z.var(0), variance, rtol=0.05)


def test_divergence_of_gaussians_is_the_squared_distance():
    p, q = random_mixture(0, 1), random_mixture(1, 1)
    np.testing.assert_allclose(mixture.symmetric_kl(p, q), ((p.means - q.means) ** 2).sum((-1, -2)), rtol=1e-6)


def test_monte_carlo_divergence_converges_to_the_closed_form():
    p, q = random_mixture(0, 1), random_mixture(1, 1)
    exact = mixture.symmetric_kl(p, q)
    for num_samples in (20, 20_000):
        error = symmetric_kl_monte_carlo(p, q, jax.random.key(2), num_samples) - exact
        deviation = 2 * jnp.sqrt(exact / num_samples)  # at most: each side's log-ratio has the variance |Δ|²
        assert bool((jnp.abs(error) < 4 * deviation).all())


def test_monte_carlo_divergence_is_symmetric_and_zero_at_equality():
    p, q, key = random_mixture(0, 5), random_mixture(1, 5), jax.random.key(2)
    there, back = symmetric_kl_monte_carlo(p, q, key, 8), symmetric_kl_monte_carlo(q, p, key, 8)
    np.testing.assert_allclose(there, back, rtol=1e-6)
    np.testing.assert_array_equal(symmetric_kl_monte_carlo(p, p, key, 8), 0)


def test_mixtures_have_no_closed_form():
    with pytest.raises(ValueError, match="no closed form"):
        mixture.symmetric_kl(random_mixture(0, 2), random_mixture(1, 2))


def test_gradients_are_finite_far_away():
    m = random_mixture(0, 5)
    gradient = jax.grad(lambda z: log_prob(m, z).sum())(jnp.full((2, 3, 4), 1e3))
    assert bool(jnp.isfinite(gradient).all())
