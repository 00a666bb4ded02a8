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


def export(shape):
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.float32)
    return jax.export.export(jax.jit(lambda x: inputs.pair(METRIC, x, x)[0].sum()))(x)


def test_the_number_of_images_may_be_symbolic_and_their_size_may_not():
    assert export("b, 8, 9, 3").in_avals[0].shape[1:] == (8, 9, 3)
    for shape in ("b, h, w, 3", "h, w, 3", "8, w, 3"):
        with pytest.raises(ValueError, match="only the number of images may be symbolic; fix height and width"):
            export(shape)


def test_what_embed_does_not_return_is_no_embedding():
    for wrong in ((), None, [0.5], {"band": "text"}):
        with pytest.raises(TypeError, match="embeddings are what `embed` returns, not"):
            inputs.check_embeddings(wrong, wrong)


def test_equal_images_get_equal_embeddings_to_the_bit():
    x = jnp.asarray(PICTURE[None])
    first, second = inputs.both(lambda x: jnp.sin(x).sum((1, 2, 3)), x, x)
    assert first == second
