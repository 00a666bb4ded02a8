"""NLPD agrees with the official implementation, and is the norm of the difference of normalized pyramids."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from pim_jax.baselines import nlpd


@pytest.mark.parametrize(("name", "before"), [("nlpd", nlpd.response), ("nlpd_fast", lambda image: 255 * image)])
def test_it_is_the_official_value_of_every_channel(golden, name, before):
    x, y = (jnp.asarray(np.moveaxis(golden[f"nlpd/{side}"], -1, 1), jnp.float32) / 255 for side in "xy")
    n, channels, height, width = x.shape
    x, y = (nlpd.bands(before(image.reshape(-1, height, width))) for image in (x, y))
    found = nlpd.distance(x, y).reshape(n, channels)
    np.testing.assert_allclose(found, golden[f"nlpd/{name}"], rtol=2e-5)


@pytest.mark.parametrize(("size", "bands"), [((64, 64), 5), ((17, 9), 3), ((5, 5), 2), ((129, 140), 6)])
def test_bands_halve_until_too_small_to_reflect(size, bands):
    found = nlpd.bands(jnp.zeros((1, *size)))
    expected = [(1, *(-(-side // 2**level) for side in size)) for level in range(bands)]
    assert [band.shape for band in found] == expected


def test_a_band_is_what_the_lowpass_loses_over_the_activity_around():
    x = np.random.default_rng(0).uniform(2, 7, (24, 30))
    taps = np.outer([0.05, 0.25, 0.4, 0.25, 0.05], [0.05, 0.25, 0.4, 0.25, 0.05])
    low = correlate(x, taps, mode="mirror")[::2, ::2]
    spread = np.zeros_like(x)
    spread[::2, ::2] = low
    detail = x - correlate(spread, 4 * taps, mode="mirror")
    pool = 0.04 + 0.01 * np.array(
        [[0, 0, 1, 0, 0], [0, -1, 0, -1, 0], [1, 0, 1, 0, 1], [0, -1, 0, -1, 0], [0, 0, 1, 0, 0]]
    )
    expected = detail / (0.17 + correlate(np.abs(detail), pool, mode="constant"))
    found = nlpd.bands(jnp.asarray(x, jnp.float32)[None])[0][0]
    np.testing.assert_allclose(found[:-4, :-4], expected[:-4, :-4], rtol=1e-4, atol=1e-5)


def test_the_norm_is_the_mean_of_powers():
    x = [jnp.zeros((1, 2, 2)), jnp.zeros((1, 1, 1))]
    y = [jnp.full((1, 2, 2), 0.5), jnp.full((1, 1, 1), 0.1)]
    np.testing.assert_allclose(nlpd.distance(x, y), ((0.5**0.6 + 0.1**0.6) / 2) ** (1 / 0.6), rtol=1e-5)
    np.testing.assert_array_equal(nlpd.distance(y, x), nlpd.distance(x, y))
