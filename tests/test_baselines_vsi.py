"""VSI weighs similarities by saliency, which is warm, contrasted, and in the middle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import vsi


def test_it_is_the_definition_also_of_negative_similarities():
    rng = np.random.default_rng(0)
    features = lambda: vsi.Features(  # noqa: E731
        rng.uniform(0, 1, (1, 9, 8)), rng.uniform(0, 90, (1, 9, 8)), tuple(rng.normal(0, 60, (2, 1, 9, 8)))
    )
    x, y = features(), features()
    similar = lambda a, b, c: (2 * a * b + c) / (a**2 + b**2 + c)  # noqa: E731
    chroma = similar(x.chroma[0], y.chroma[0], 130) * similar(x.chroma[1], y.chroma[1], 130)
    assert (chroma < 0).any() and (chroma > 0).any()
    maps = similar(x.saliency, y.saliency, 1.27) * similar(x.edges, y.edges, 386) ** 0.4
    maps = maps * (chroma.astype(complex) ** 0.02).real
    expected = 1 - np.average(maps, weights=np.maximum(x.saliency, y.saliency))
    x, y = (jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), z) for z in (x, y))
    np.testing.assert_allclose(vsi.distance(x, y), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(5, 9), (12, 7)])
def test_resizing_is_bilinear(size):
    image = jax.random.uniform(jax.random.key(0), (1, 7, 7, 2))
    expected = jax.image.resize(image, (1, *size, 2), "linear", antialias=False)
    np.testing.assert_allclose(vsi._resized(image, size, corners=False), expected, atol=1e-6)
    kept = vsi._resized(image, size, corners=True)
    np.testing.assert_allclose(kept[:, :: size[0] - 1, :: size[1] - 1], image[:, ::6, ::6], atol=1e-6)


def test_a_red_spot_is_salient_and_a_flat_picture_nowhere():
    grey = jnp.full((1, 24, 24, 3), 0.5)
    spot = grey.at[:, 11:13, 14:16, 0].set(0.9)
    assert jnp.unravel_index(vsi.saliency(spot)[0].argmax(), (24, 24))[1] in (13, 14, 15, 16)
    np.testing.assert_array_equal(vsi.saliency(grey), 0)


def test_the_gradient_of_a_range_asks_for_no_equal_numbers():
    # A compiler may compute a channel twice and round it differently. Then nothing equals its own maximum.
    gradient = jax.make_jaxpr(jax.grad(lambda channel: jnp.square(vsi._ranged(channel)).sum()))
    assert " eq " not in str(gradient(jnp.ones((1, 2, 3))))
