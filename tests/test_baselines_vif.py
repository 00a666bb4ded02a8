"""VIFp is the definition, computed in float64; it is not symmetric, and praises contrast."""

import jax.numpy as jnp
import numpy as np
from scipy.signal import correlate2d

from pim_jax.baselines import vif


def definition(reference, distorted):
    kept = known = 0.0
    for scale in range(4):
        side = 2 ** (4 - scale) + 1
        offsets = np.arange(side) - side // 2
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (side / 5) ** 2))
        window /= window.sum()
        blur = lambda picture: correlate2d(picture, window, mode="valid")  # noqa: E731, B023
        if scale:
            reference, distorted = blur(reference)[::2, ::2], blur(distorted)[::2, ::2]
        mean_r, mean_d = blur(reference), blur(distorted)
        variance_r, variance_d = blur(reference**2) - mean_r**2, blur(distorted**2) - mean_d**2
        covariance = blur(reference * distorted) - mean_r * mean_d
        gain = np.maximum(covariance / variance_r, 0)
        noise = np.where(gain > 0, variance_d - gain * covariance, variance_d)
        kept += np.log10(1 + gain**2 * variance_r / (noise + 2)).sum()
        known += np.log10(1 + variance_r / 2).sum()
    return 1 - kept / known


def batch(*pictures):
    return (jnp.asarray(picture, jnp.float32)[None] / 255 for picture in pictures)


def test_it_is_the_definition():
    rng = np.random.default_rng(0)
    x = 60 * np.sin(np.arange(45) / 3)[:, None] + rng.normal(128, 20, (45, 50))
    y = x + rng.normal(0, 5, x.shape)
    np.testing.assert_allclose(vif.distance(*batch(x, y)), definition(x, y), rtol=1e-4)
    np.testing.assert_allclose(vif.distance(*batch(y, x)), definition(y, x), rtol=1e-4)
    assert abs(definition(x, y) - definition(y, x)) > 1e-3


def test_contrast_is_praised_and_a_negative_is_worth_nothing():
    x = np.random.default_rng(0).uniform(40, 200, (45, 50))
    assert vif.distance(*batch(x, 120 + 1.2 * (x - 120)))[0] < -0.01
    np.testing.assert_allclose(vif.distance(*batch(x, 240 - x)), 1, atol=1e-6)


def test_a_flat_reference_holds_no_information():
    flat, noise = np.full((45, 50), 200.0), np.random.default_rng(0).uniform(0, 255, (45, 50))
    assert vif.distance(*batch(flat, noise)).tolist() == [0.0]
    np.testing.assert_allclose(vif.distance(*batch(noise, flat)), 1, atol=1e-6)
