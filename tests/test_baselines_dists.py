"""DISTS compares means and what covaries of features; its weights are the authors'."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import correlate

from pim_jax import provenance
from pim_jax.baselines import dists


def test_it_is_the_definition():
    rng = np.random.default_rng(0)
    layers = [[rng.uniform(0, 2, (1, size, size + 1, channels)) for size, channels in ((6, 3), (3, 5))] for _ in "xy"]
    weights = {name: rng.uniform(0, 1, 8) for name in ("structure", "texture")}
    total, start = 0.0, 0
    for x, y in zip(*layers, strict=True):
        for channel in range(x.shape[-1]):
            a, b = x[..., channel], y[..., channel]
            means = (2 * a.mean() * b.mean() + 1e-6) / (a.mean() ** 2 + b.mean() ** 2 + 1e-6)
            covariance = (a * b).mean() - a.mean() * b.mean()
            rests = (2 * covariance + 1e-6) / (a.var() + b.var() + 1e-6)
            total += weights["structure"][start] * (1 - means) + weights["texture"][start] * (1 - rests)
            start += 1
    x, y, weights = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), (*layers, weights))
    np.testing.assert_allclose(dists.distance(weights, x, y), total, rtol=1e-5)


def test_pooling_is_a_hann_window_at_every_second_position():
    x = np.random.default_rng(0).uniform(0, 1, (7, 8))
    window = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    expected = np.sqrt(correlate(x**2, window, mode="constant")[::2, ::2])
    found = dists.l2_pooling(jnp.asarray(x, jnp.float32)[None, :, :, None])
    np.testing.assert_allclose(found[0, ..., 0], expected, rtol=1e-5)


def test_the_weights_are_the_authors():
    weights = dists.channel_weights()
    assert {name: array.shape for name, array in weights.items()} == {"structure": (1475,), "texture": (1475,)}
    assert all((array >= 0).all() for array in weights.values())
    assert provenance.digest(weights)[:12] == "134ebc197e9e"
