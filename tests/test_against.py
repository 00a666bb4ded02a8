"""The distance from a reference is that of both images, and a function like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax import metric
from pim_jax.model import pim as networks
from pim_jax.model.pim import ModelConfig


@pytest.fixture(scope="module")
def pim():
    config = ModelConfig(pyramid="laplacian", scales=2, widths=(3,))
    return metric.from_params(config, jax.tree.map(lambda leaf: 3 * leaf, networks.init(config, jax.random.key(0))))


def images(seed, n=2):
    return jax.random.uniform(jax.random.key(seed), (n, 24, 32, 3))


@pytest.mark.slow(kept="the doctest of Pim.against")
def test_its_values_are_those_of_the_distance(pim):
    x, y, mask = images(0), images(1), images(2)[..., 0]
    loss = pim.against(x[0])
    np.testing.assert_allclose(loss(y), pim.distance(x[0], y), rtol=2e-5)
    np.testing.assert_allclose(loss(y, mask), pim.distance(x[0], y, mask), rtol=2e-5)
    assert loss(y[0]).shape == loss(y[0], mask[0]).shape == ()
    assert pim.against(x[:1])(y[0]).shape == loss(y[0], mask[:1]).shape == (1,)


def test_it_goes_through_jit_and_vmap_and_is_a_pytree(pim):
    x, y = images(0), images(1)
    loss = pim.against(x[0])
    wanted = pim.distance(x[0], y)
    np.testing.assert_allclose(jax.jit(loss)(y), wanted, rtol=2e-5)
    np.testing.assert_allclose(jax.vmap(loss)(y), wanted, rtol=2e-5)
    np.testing.assert_allclose(jax.jit(lambda loss, y: loss(y))(loss, y), wanted, rtol=2e-5)


@pytest.mark.slow(kept="its values, and gradients of the distance")
def test_its_gradient_is_that_of_the_distance(pim):
    x, y = images(0, n=1), images(1, n=1)
    wanted = jax.jit(jax.grad(lambda y: pim.distance(x, y)[0]))(y)
    found = jax.jit(jax.grad(lambda y, loss: loss(y)[0]))(y, pim.against(x))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(jnp.abs(wanted).max()))


def test_what_does_not_fit_is_one_line(pim):
    loss = pim.against(images(0))
    with pytest.raises(
        ValueError, match=r"^x has shape \(2, 23, 32, 3\) and the reference \(2, 24, 32, 3\): images must"
    ):
        loss(images(1)[:, 1:])
    with pytest.raises(ValueError, match="z_x holds 2 images and z_y 3"):
        loss(images(1, n=3))
    with pytest.raises(TypeError, match=r"^reference is uint8; images are float"):
        pim.against(np.zeros((24, 32, 3), np.uint8))
