"""CIEDE2000 has the values that its authors publish to check programs with."""

import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import ciede2000

# Sharma, Wu, Dalal 2005, table 1: colours at which programs go wrong.
PUBLISHED = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 2.8361, -74.0200), (50, 0, -82.7485), 3.4412),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, 2.5000, 0), (73, 25.0000, -18.0000), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def colours(rows):
    return list(jnp.asarray(np.moveaxis(np.array(rows), -1, 0), jnp.float32))


def test_it_has_the_published_values_either_way():
    x, y, expected = zip(*PUBLISHED, strict=True)
    x, y = colours(x), colours(y)
    np.testing.assert_allclose(ciede2000.difference(x, y), expected, atol=2e-4)
    np.testing.assert_allclose(ciede2000.difference(y, x), expected, atol=2e-4)


def test_it_is_what_scikit_image_computes():
    skimage_color = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    rng = np.random.default_rng(0)
    x, y = rng.uniform([0, -90, -90], [100, 90, 90], (2, 500, 3))
    found = ciede2000.difference(colours(x), colours(y))
    np.testing.assert_allclose(found, skimage_color.deltaE_ciede2000(x, y), rtol=1e-4)
