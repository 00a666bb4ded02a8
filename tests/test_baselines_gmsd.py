"""GMSD is the standard deviation of the similarity of gradients; MS-GMSDc takes several scales and the colours."""

import jax.numpy as jnp
import numpy as np
from scipy.ndimage import correlate

from pim_jax.baselines import gmsd


def magnitude(picture):
    prewitt = np.outer([1, 1, 1], [-1, 0, 1]) / 3
    return np.hypot(*(correlate(picture, kernel, mode="constant") for kernel in (prewitt, prewitt.T)))


def pair():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (20, 24, 3))
    return x, np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)


def distance(metric, x, y):
    return metric.distance(*(jnp.asarray(image, jnp.float32) for image in (x, y)))


def halved(picture):
    return picture.reshape(picture.shape[0] // 2, 2, picture.shape[1] // 2, 2).mean((1, 3))


def test_gmsd_is_the_deviation_of_the_similarity_of_gradients():
    x, y = pair()
    a, b = (magnitude(halved(image @ [0.299, 0.587, 0.114])) for image in (x, y))
    constant = 170 / 255**2
    similar = (2 * a * b + constant) / (a**2 + b**2 + constant)
    np.testing.assert_allclose(distance(gmsd.gmsd(), x, y), similar.std(), rtol=1e-5)


def test_ms_gmsdc_is_the_definition():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (32, 48, 3))
    y = np.clip(x + rng.normal(0, 0.1, x.shape) + [0.1, 0, 0], 0, 1)
    weights = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    planes_x, planes_y = ([255 * image @ row for row in weights] for image in (x, y))
    square = 0.0
    for scale, weight in enumerate((0.096, 0.596, 0.289, 0.019)):
        if scale:
            planes_x, planes_y = (list(map(halved, planes)) for planes in (planes_x, planes_y))
        a, b = magnitude(planes_x[0]), magnitude(planes_y[0])
        similar = (1.5 * a * b + 170) / (a**2 + b**2 - 0.5 * a * b + 170)
        square += weight * similar.std() ** 2
    grey = np.sqrt(square)
    chroma = np.sqrt(sum(((planes_x[i] - planes_y[i]) ** 2).mean() for i in (1, 2)))
    share = 2 / (1 + 0.32 * np.exp(-15 * grey)) - 1
    assert (1 - share) * 0.01 * chroma > 0.005 and share * grey > 0.005
    expected = share * grey + (1 - share) * 0.01 * chroma
    np.testing.assert_allclose(distance(gmsd.ms_gmsdc(), x, y), expected, rtol=1e-5)
