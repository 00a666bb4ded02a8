"""HaarPSI is the definition, computed wavelet by wavelet in float64."""

import jax.numpy as jnp
import numpy as np
from scipy.signal import convolve2d

from pim_jax.baselines import haarpsi

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def same(picture, kernel):
    """MATLAB's conv2(picture, kernel, "same")."""
    height, width = kernel.shape
    full = convolve2d(picture, kernel)
    return full[height // 2 :, width // 2 :][: picture.shape[0], : picture.shape[1]]


def responses(image):
    planes = [same(255 * image @ row, np.full((2, 2), 0.25))[::2, ::2] for row in YIQ]
    haar = [np.outer(np.repeat([1, -1], side // 2), np.ones(side)) / side for side in (2, 4, 8)]
    of_luma = [[np.abs(same(planes[0], kernel)) for kernel in (wavelet, wavelet.T)] for wavelet in haar]
    return of_luma, [np.abs(same(plane, np.full((2, 2), 0.25))) for plane in planes[1:]]


def test_it_is_the_definition():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (21, 26, 3))
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    (luma_x, chroma_x), (luma_y, chroma_y) = responses(x), responses(y)
    similar = lambda a, b: (2 * a * b + 30) / (a**2 + b**2 + 30)  # noqa: E731
    maps = [(similar(luma_x[0][o], luma_y[0][o]) + similar(luma_x[1][o], luma_y[1][o])) / 2 for o in (0, 1)]
    maps.append(sum(map(similar, chroma_x, chroma_y)) / 2)
    weights = [np.maximum(luma_x[2][o], luma_y[2][o]) for o in (0, 1)]
    weights.append(sum(weights) / 2)
    score = sum((w / (1 + np.exp(-4.2 * s))).sum() for w, s in zip(weights, maps, strict=True)) / np.sum(weights)
    expected = 1 - (np.log(score / (1 - score)) / 4.2) ** 2
    found = haarpsi.haarpsi().distance(*(jnp.asarray(image, jnp.float32) for image in (x, y)))
    assert 0.05 < expected < 0.95
    np.testing.assert_allclose(found, expected, rtol=1e-5)
