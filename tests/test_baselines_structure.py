"""SSIM and MS-SSIM agree with the definition, computed window by window in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from pim_jax.baselines import structure

pytest.importorskip("dm_pix", reason="dm-pix is not installed")


def maps(x, y):
    """The luminance term and the term of contrast and structure at every position, by the definition."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    blur = lambda image: correlate2d(image, window, mode="valid")  # noqa: E731
    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return luminance, (2 * covariance + 9e-4) / (variance_x + variance_y + 9e-4)


def halved(image):
    """The mean of 2 x 2 pixels, with the last row and column repeated if there is an odd one."""
    image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2)), mode="symmetric")
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def pair(height, width, noise=0.1):
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    picture = 0.5 + 0.3 * np.sin(x / 5) * np.cos(y / 7)
    return picture, np.clip(picture + 0.1 + rng.normal(0, noise, picture.shape), 0, 1)


def batch(*images):
    return (jnp.asarray(image, jnp.float32)[None] for image in images)


def test_ssim_is_the_definition():
    x, y = pair(20, 27)
    luminance, structures = maps(x, y)
    np.testing.assert_allclose(structure.mean_ssim(*batch(x, y)), (luminance * structures).mean(), atol=2e-6)


@pytest.mark.parametrize(("size", "scales"), [((45, 52), 3), ((21, 40), 2), ((20, 40), 1)])
def test_ms_ssim_is_the_weighted_product_over_the_scales_that_fit(size, scales):
    x, y = pair(*size)
    images, expected = (x, y), 1.0
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    for scale, weight in enumerate(weights / weights.sum()):
        luminance, structures = maps(*images)
        term = structures.mean() if scale < scales - 1 else (luminance * structures).mean()
        expected *= term**weight
        images = [halved(image) for image in images]
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(structure.multiscale_ssim(*batch(x, y)), expected, atol=5e-6)


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (64, 3), (128, 4), (160, 4), (161, 5), (1024, 5)])
def test_scales_are_as_many_as_the_window_fits_in(side, scales):
    image = jax.ShapeDtypeStruct((1, side, 2000), jnp.float32)
    assert jax.eval_shape(structure.scale_terms, image, image).shape == (scales, 1)


def test_a_negative_of_the_picture_has_no_similarity_and_a_finite_gradient():
    x, _ = batch(*pair(32, 32))
    assert (structure.scale_terms(x, 1 - x) < 0).any()
    assert structure.multiscale_ssim(x, 1 - x)[0] == 0
    gradient = jax.grad(lambda image: structure.multiscale_ssim(x, image)[0])(1 - x)
    np.testing.assert_array_equal(gradient, 0)


def test_the_distance_is_one_minus_the_similarity_of_luma():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (2, 1, 24, 24, 3)).astype(np.float32)
    luminance, structures = maps(*(image[0].astype(float) @ [0.299, 0.587, 0.114] for image in (x, y)))
    found = structure.ssim().distance(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(found, 1 - (luminance * structures).mean(), atol=2e-6)
