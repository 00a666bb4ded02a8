"""Spaces of colour are what scikit-image computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import colour

skimage_color = pytest.importorskip("skimage.color", reason="scikit-image is not installed")

IMAGE = np.random.default_rng(0).uniform(0, 1, (6, 7, 3))


def test_yiq():
    found = jnp.stack(colour.channels(jnp.asarray(IMAGE, jnp.float32), colour.YIQ), axis=-1)
    np.testing.assert_allclose(found, skimage_color.rgb2yiq(IMAGE), atol=2e-4)  # four digits of each weight


@pytest.mark.parametrize(("white", "illuminant"), [(colour.D65, "D65"), (colour.D50, "D50")])
def test_cielab(white, illuminant):
    image = np.concatenate([IMAGE, IMAGE / 50])  # dark colours are on the straight part of both curves
    found = jnp.stack(colour.lab(jnp.asarray(image, jnp.float32), white), axis=-1)
    np.testing.assert_allclose(found, skimage_color.rgb2lab(image, illuminant), atol=1e-2)  # whose matrix differs


def test_black_and_less_than_black_have_finite_gradients():
    lightness = lambda level: colour.lab(jnp.full((1, 3), level), colour.D65)[0][0]  # noqa: E731
    gradients = jax.jit(jax.vmap(jax.grad(lightness)))(jnp.array([-0.1, 0.0, 0.04]))
    np.testing.assert_allclose(gradients, 903.3 / 12.92, rtol=0.5)
