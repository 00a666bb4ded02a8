"""A metric takes the images of programs that hold them otherwise, and gives what it gives for its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from pim_jax import metric, metrics, stored
from pim_jax.model import pim as networks
from pim_jax.model.pim import ModelConfig

SIZE = (24, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a small PIM."""
    config = ModelConfig(pyramid="laplacian", scales=2, widths=(3,))
    path = tmp_path_factory.mktemp("weights") / "small"
    stored.write(path, config, networks.init(config, jax.random.key(0)), name="small")
    return path


OTHERS = slow(((0, 255), "last"), ((0, 1), "first"), kept="both at once")


@pytest.fixture(scope="module", params=[((-1, 1), "first"), *OTHERS], ids=str)
def convention(request):
    return request.param


def images(seed, n=2):
    return np.random.default_rng(seed).random((n, *SIZE, 3), np.float32)


def held(image, convention):
    """An image as a program of this convention holds it."""
    (low, high), channels = convention
    image = low + (high - low) * image
    return np.moveaxis(image, -1, -3) if channels == "first" else image


@pytest.fixture(scope="module")
def both(folder, convention):
    value_range, channels = convention
    return metric.load(folder), metrics.load(folder, value_range=value_range, channels=channels)


def test_every_function_gives_what_the_metric_gives(both, convention):
    one, converted = both
    x, y, mask = images(0), images(1), images(2)[..., 0]
    a, b = held(x, convention), held(y, convention)
    wanted = one.distance(x, y)
    np.testing.assert_allclose(converted.distance(a, b), wanted, rtol=1e-4)
    np.testing.assert_allclose(converted.between(converted.embed(a), converted.embed(b)), wanted, rtol=1e-4)
    np.testing.assert_allclose(converted.against(a)(b), wanted, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(converted.against(a[0]))(b[0]), wanted[0], rtol=1e-4)
    np.testing.assert_allclose(converted.distance_map(a, b), one.distance_map(x, y), rtol=1e-3, atol=1e-6)
    masked, channel = one.distance(x, y, mask), 1 if convention[1] == "first" else 3
    for given in (mask, np.expand_dims(mask, channel)):
        np.testing.assert_allclose(converted.distance(a, b, given), masked, rtol=1e-4)
        np.testing.assert_allclose(converted.against(a)(b, given), masked, rtol=1e-4)
    assert converted.distance(a[0], b[0], mask[0]).shape == ()
    assert isinstance(converted, metrics.MapMetric)
    assert (converted.name, converted.digest) == (one.name, one.digest) and one.digest in repr(converted)


def test_its_gradient_is_in_the_units_of_the_program(folder):
    x, y = (255 * image for image in (images(0, 1), images(1, 1)))
    one, converted = metric.load(folder), metrics.load(folder, value_range=(0, 255))
    wanted = jax.jit(jax.grad(lambda y: one.distance(x / 255, y / 255)[0]))(y)
    found = jax.jit(jax.grad(lambda y, metric: metric.distance(x, y)[0]))(y, converted)  # it is a pytree
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(jnp.abs(wanted).max()))


def test_the_usual_convention_wraps_nothing(folder):
    assert isinstance(metrics.load(folder, value_range=(0.0, 1.0), channels="last"), metric.Pim)


def test_a_metric_without_maps_is_converted_too():
    one, converted = metrics.load("nlpd"), metrics.load("nlpd", value_range=(-1, 1), channels="first")
    x, y = images(0), images(1)
    a, b = (held(image, ((-1, 1), "first")) for image in (x, y))
    np.testing.assert_allclose(converted.distance(a, b), one.distance(x, y), rtol=1e-4)
    assert not isinstance(converted, metrics.MapMetric)
    with pytest.raises(ValueError, match=r"^NLPD has no distance_map, so it takes no mask"):
        converted.distance(a, b, np.ones(SIZE))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            np.full((3, *SIZE), 200.0),
            ValueError,
            "x has values from 200 to 200; images are in [-1, 1]: rescale them, or",
        ),
        (np.full((3, *SIZE), -2.5), ValueError, "x has values from -2.5 to -2.5; images are in [-1, 1]"),
        (
            np.zeros((*SIZE, 3)),
            ValueError,
            "x has shape (24, 32, 3); images are [N, 3, H, W] or [3, H, W], channels first",
        ),
        (np.zeros((3, 1, 32)), ValueError, "x is 1 x 32 pixels (height x width); small needs at least"),
        (
            np.zeros((3, *SIZE), np.uint8),
            TypeError,
            "x is uint8; images are float sRGB in [-1, 1]: convert them to that",
        ),
        (np.zeros((3, 25, 32)), ValueError, "x is 25 x 32 and y is 24 x 32 (height x width)"),
    ],
    ids=["above", "below", "channels last", "small", "integers", "sizes"],
)
def test_errors_name_what_was_given(folder, given, error, message):
    converted = metrics.load(folder, value_range=(-1, 1), channels="first")
    with pytest.raises(error) as raised:
        converted.distance(given, np.zeros((3, *SIZE)))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "value_range",
    [(1, 0), (0, np.inf), (0,), 255, None, ("a", "b"), (np.nan, 1), (0, 0), (0, 1e39), (0, 1e-39)],
    ids=str,
)
def test_a_range_that_cannot_be_is_one_line(value_range):
    with pytest.raises(ValueError, match=r"^value_range must be two numbers, of black and of white, such as"):
        metrics.load("psnr", value_range=value_range)


def test_an_order_of_channels_that_cannot_be_is_one_line():
    with pytest.raises(ValueError, match=r'^channels must be "last" or "first", not .NHWC'):
        metrics.load("psnr", channels="NHWC")
