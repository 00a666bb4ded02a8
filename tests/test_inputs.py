"""What people give as an image becomes an array of floats, or one clear line."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from pim_jax import inputs

METRIC = SimpleNamespace(name="pim-1", smallest_size=8)
PICTURE = np.random.default_rng(0).uniform(0, 1, (8, 9, 3)).astype(np.float32)


def image(given):
    return inputs.image(METRIC, "x", given)


class ForeignArray:
    """An array of a library that NumPy can read, as those of PyTorch and TensorFlow."""

    def __init__(self, values, error=None):
        self.values, self.error = values, error
        self.dtype, self.shape = "foreign.float32", values.shape

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return self.values


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">f8", "<f8", ">f2", "<f2", ml_dtypes.bfloat16, np.longdouble])
def test_every_order_of_bytes_and_kind_of_float_is_read(dtype):
    found = image(PICTURE.astype(dtype))
    assert isinstance(found, jax.Array) and jnp.issubdtype(found.dtype, jnp.floating)
    np.testing.assert_array_equal(np.float32(found), PICTURE.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    "given",
    [PICTURE[::-1][:, ::-1], np.asfortranarray(PICTURE), np.broadcast_to(PICTURE[:1], (8, 9, 3)), np.ma.array(PICTURE)],
    ids=["negative strides", "columns first", "read-only", "masked nowhere"],
)
def test_every_layout_in_memory_is_read(given):
    np.testing.assert_array_equal(image(given), np.asarray(given))


def test_arrays_of_other_libraries_are_read():
    np.testing.assert_array_equal(image(ForeignArray(PICTURE)), PICTURE)
    np.testing.assert_array_equal(image(nnx.Param(jnp.asarray(PICTURE))), PICTURE)
    gradient = jax.grad(lambda parameter: image(parameter).sum())(nnx.Param(jnp.asarray(PICTURE)))
    np.testing.assert_array_equal(gradient[...], 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PICTURE.tolist(), "x must be an array, not list"),
        (None, "x must be an array, not NoneType"),
        ("reference.png", "x must be an array, not str"),
        (jax.ShapeDtypeStruct((8, 9, 3), "float32"), "x must be an array, not ShapeDtypeStruct"),
        (np.uint8(255 * PICTURE), "x is uint8; images are float sRGB in [0, 1]: convert 8-bit ones with x / 255"),
        (np.uint16(PICTURE), "x is uint16; images are float sRGB in [0, 1]: convert 16-bit ones with x / 65535"),
        (jnp.zeros((8, 9, 3), jnp.uint8), "convert 8-bit ones with x / 255"),
        (
            Image.new("RGB", (9, 8)),
            "convert 8-bit ones with np.asarray(x) / 255",
        ),
        (np.complex64(PICTURE), "x is complex64; images are float sRGB in [0, 1]"),
        (PICTURE.astype(object), "x is object; images are float sRGB in [0, 1]"),
        (np.ma.array(PICTURE, mask=PICTURE > 0.5), "x has masked values, which would be compared as if they were not"),
        (
            ForeignArray(PICTURE, RuntimeError("it needs a gradient\nand more")),
            "cannot be read as an array: it needs a",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_no_array_of_floats_is_one_line(given, message):
    with pytest.raises(TypeError) as raised:
        image(given)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", [bool, np.float16, ">f8", ml_dtypes.bfloat16])
def test_masks_are_boolean_or_floats_with_or_without_a_channel(dtype):
    mask = (np.arange(72).reshape(8, 9) % 2).astype(dtype)
    for given, shape in [(mask, (8, 9, 1)), (mask[None], (1, 8, 9, 1)), (mask[None, ..., None], (1, 8, 9, 1))]:
        found = inputs.mask_of(given)
        assert found.shape == shape and found.dtype == jnp.float32
        np.testing.assert_array_equal(found.reshape(8, 9), mask.astype(np.float32))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[1.0]], TypeError, "mask must be an array, not list"),
        (
            np.ones((8, 9), np.uint8),
            TypeError,
            "mask is uint8; masks are boolean, or float in [0, 1]: use mask > 0, or",
        ),
        (PICTURE[None], ValueError, "mask has shape (1, 8, 9, 3); masks are [N, H, W], [N, H, W, 1] or [H, W]"),
        (np.ones((0, 8, 9)), ValueError, "mask has shape (0, 8, 9): there is no mask in it"),
        (np.full((8, 9), np.nan), ValueError, "mask holds values that are not finite"),
        (np.full((8, 9), 255.0), ValueError, "mask has values from 255 to 255; masks are in [0, 1]: use"),
        (np.linspace(-1, 1, 72).reshape(8, 9), ValueError, "mask has values from -1 to 1; masks are in [0, 1]: use"),
        (np.zeros((8, 9), bool), ValueError, "the mask is 0 everywhere, so there is nothing to average: leave"),
        (
            np.arange(2.0)[:, None, None],
            ValueError,
            "the mask of one of the images is 0 everywhere, so there is nothing",
        ),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_a_mask_that_cannot_be_is_one_line(given, error, message):
    with pytest.raises(error) as raised:
        inputs.mask_of(given)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_mask_must_fit_the_images_and_their_embeddings():
    for mask, message in [
        (np.ones((8, 8)), "x is 8 x 9 and mask is 8 x 8 (height x width): an image and its mask must have one size"),
        (np.ones((3, 8, 9)), "x holds 2 images and mask 3: give as many of each"),
    ]:
        with pytest.raises(ValueError) as raised:
            inputs.pair(METRIC, np.stack([PICTURE, PICTURE]), PICTURE, mask)
        assert message in str(raised.value)
    z = np.zeros((2, 8, 9))
    for mask, message in [
        (np.ones((8, 8)), "mask is 8 x 8 (height x width), and the embeddings are of images of another size"),
        (np.ones((3, 8, 9)), "z_y holds 2 images and mask 3: give as many of each"),
    ]:
        with pytest.raises(ValueError) as raised:
            inputs.mask_of_embeddings(lambda x: x.mean(3), z[:1], z, mask)
        assert message in str(raised.value)


def export(shape):
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.float32)
    return jax.export.export(jax.jit(lambda x: inputs.pair(METRIC, x, x).x.sum()))(x)


def test_the_number_of_images_may_be_symbolic_and_their_size_may_not():
    assert export("b, 8, 9, 3").in_avals[0].shape[1:] == (8, 9, 3)
    for shape in ("b, h, w, 3", "h, w, 3", "8, w, 3"):
        with pytest.raises(ValueError, match="only the number of images may be symbolic; fix height and width"):
            export(shape)


def test_what_embed_does_not_return_is_no_embedding():
    right = (np.zeros((1, 4)), np.zeros((1, 5)))
    inputs.check_embeddings(right, right, right)
    for wrong in ((), None, [0.5], {"band": "text"}, [*right], right[0], (right[0], right[0][0])):
        with pytest.raises(TypeError, match=r"z_y must be what `embed` of this metric returns, not .*: use embed\("):
            inputs.check_embeddings(right, right, wrong)


def test_one_colour_image_is_no_batch_of_grey_ones():
    grey = np.zeros((1, 11, 11))
    inputs.check_embeddings(grey, np.zeros((2, 64, 48)), np.zeros((2, 64, 48)))
    with pytest.raises(TypeError, match=r"z_x must be .* not an array of shape \(64, 48, 3\): use embed\("):
        inputs.check_embeddings(grey, np.zeros((64, 48, 3)), np.zeros((64, 48, 3)))


def test_equal_images_get_equal_embeddings_to_the_bit():
    x = jnp.asarray(PICTURE[None])
    first, second = inputs.both(lambda x: jnp.sin(x).sum((1, 2, 3)), x, x)
    assert first == second
