"""AlexNet and VGG16 have the geometry that the model says they have. Few units: geometry does not depend on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model import classifiers
from pim_jax.model.classifiers import ALEXNET, VGG16

NARROW = [network._replace(units=(2,) * len(network.units)) for network in (ALEXNET, VGG16)]
by_name = pytest.mark.parametrize("network", NARROW, ids=lambda network: network.name)


def weights(network, draw):
    before = (3, *network.units)
    shapes = [(s, s, b, u) for s, b, u in zip(network.supports, before, network.units, strict=False)]
    return [draw(shape) for shape in shapes], [jnp.zeros(units) for units in network.units]


def activations(network, draw, image):
    return jax.jit(lambda image: classifiers.activations(network, *weights(network, draw), image))(image)


@by_name
def test_receptive_fields_are_the_middles_of_what_a_sample_sees(network):
    """With positive weights, a sample answers to a bright column of a black image exactly if it sees that column."""
    width, row = 288, network.smallest
    columns = jnp.broadcast_to(jnp.eye(width)[:, None, :, None], (width, row, width, 3))
    layers = activations(network, lambda shape: jnp.full(shape, 0.2), columns)
    for layer, field in zip(layers, classifiers.receptive_fields(network), strict=True):
        answers = np.asarray(layer).any((1, 3))
        sample = answers.shape[1] // 2
        (seen,) = np.nonzero(answers[:, sample])
        assert seen[0] > 0 and seen[-1] < width - 1  # the image is wider than what it sees
        assert (seen[0] + seen[-1]) / 2 == field.stride * sample + field.offset
        assert (seen[-1] - seen[0]) / 2 == field.reach


@by_name
def test_shifting_the_image_by_the_total_stride_shifts_features_by_one(network):
    rng = np.random.default_rng(0)
    stride = classifiers.receptive_fields(network)[-1].stride
    image = jnp.asarray(rng.uniform(0, 1, (1, 64, 320, 3)), jnp.float32)
    still, moved = (
        activations(network, lambda shape: jnp.asarray(shape_rng(shape)), part)[-1]
        for part in (image[:, :, stride:], image[:, :, :-stride])
    )
    inside = slice(7, -7)  # away from the left and right borders: a sample sees 98 pixels to each side at most
    found, wanted = moved[:, :, 1:][:, :, inside], still[:, :, :-1][:, :, inside]
    assert float(wanted.std()) > 0.1 * float(wanted.mean()) > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.max()))


def shape_rng(shape):
    """Random weights with a positive mean, so that narrow layers do not die."""
    rng = np.random.default_rng(shape[2])
    return (rng.uniform(-0.5, 1, shape) * (4 / np.prod(shape[:3]))).astype(np.float32)
