"""What an image must be: float sRGB in [0, 1], channels last. Checks it, and makes a JAX array of it.

While JAX traces there are no values to look at. So the range, and NaN, are checked only of arrays that are concrete.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np


class Needs(Protocol):
    """What is known of a metric here: its name, and the least height and width that it takes, in pixels."""

    name: str
    smallest_size: int


def pair(metric: Needs, x: Any, y: Any) -> tuple[jax.Array, jax.Array, bool]:
    """Returns two images, or batches of them, that can be compared.

    Args:
      metric: what is to compare them.
      x, y: [N, H, W, 3] or [H, W, 3]; either may have N = 1 against a batch.

    Returns:
      x and y as JAX arrays, and whether both are single images.

    Raises:
      As `image`; and ValueError if their sizes or their numbers differ.

    Example:
      >>> from types import SimpleNamespace
      >>> x = np.zeros((8, 8, 3), np.float32)
      >>> pair(SimpleNamespace(name="pim-1", smallest_size=8), x, x)[2]
      True
    """
    x, y = image(metric, "x", x), image(metric, "y", y)
    if x.shape[-3:-1] != y.shape[-3:-1]:
        raise ValueError(
            f"x is {_size(x)} and y is {_size(y)} (height x width): images must have one size; crop or resize one"
        )
    _check_counts("x", x.shape[0] if x.ndim == 4 else 1, "y", y.shape[0] if y.ndim == 4 else 1)
    return x, y, x.ndim == 3 and y.ndim == 3


def image(metric: Needs, name: str, given: Any) -> jax.Array:
    """Returns an image, or a batch of them, that a metric can take.

    Args:
      metric: what is to take it.
      name: what messages call it.
      given: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1]. It is an array of JAX or NumPy, in any order of bytes, or
        something that NumPy can read as one.

    Raises:
      TypeError: it is no array, it is not floating-point, or some of its values are masked.
      ValueError: its shape does not fit; or, outside of `jit`, values are not finite or not in [0, 1].

    Example:
      >>> from types import SimpleNamespace
      >>> pim = SimpleNamespace(name="pim-1", smallest_size=8)
      >>> image(pim, "x", np.full((8, 8, 3), 0.5, ">f4")).dtype
      dtype('float32')
      >>> image(pim, "x", np.zeros((8, 8, 3), np.uint8))
      Traceback (most recent call last):
      TypeError: x is uint8; images are float sRGB in [0, 1]: convert 8-bit ones with x / 255
    """
    found = _array(name, given)
    _check_shape(metric, name, found)
    _check_values(name, found)
    return jnp.asarray(found)


def check_embeddings(z_x, z_y) -> None:
    """Checks that two embeddings can be compared.

    Args:
      z_x, z_y: pytrees of arrays with the number of images leading; either may hold one image against a batch.

    Raises:
      TypeError: one holds something else than arrays.
      ValueError: they are of images of different sizes, of different metrics, or of numbers of images that do not fit.

    Example:
      >>> check_embeddings([np.zeros((1, 4))], [np.zeros((2, 3))])
      Traceback (most recent call last):
      ValueError: the embeddings are not of one metric and one size of images: their shapes are [(4,)] and [(3,)]
    """
    leaves_x, leaves_y = jax.tree.leaves(z_x), jax.tree.leaves(z_y)
    if not all(leaves and all(hasattr(leaf, "shape") for leaf in leaves) for leaves in (leaves_x, leaves_y)):
        raise TypeError(f"embeddings are what `embed` returns, not {type(z_x).__name__} and {type(z_y).__name__}")
    shapes_x, shapes_y = ([leaf.shape[1:] for leaf in leaves] for leaves in (leaves_x, leaves_y))
    if shapes_x != shapes_y:
        raise ValueError(
            f"the embeddings are not of one metric and one size of images: their shapes are {shapes_x} and {shapes_y}"
        )
    _check_counts("z_x", leaves_x[0].shape[0], "z_y", leaves_y[0].shape[0])


def batch(images: jax.Array) -> jax.Array:
    """[N, H, W, 3] of images, [N, H, W, 3] or [H, W, 3]; under `jit` it copies nothing."""
    return images if images.ndim == 4 else images[None]


def both(embed, x: jax.Array, y: jax.Array):
    """What `embed` makes of two batches of images; equal images get equal embeddings, to the bit.

    Args:
      embed: a pure function of a batch.
      x, y: [N, H, W, 3] of one size; either may have N = 1.

    Example:
      >>> [z.tolist() for z in both(lambda x: x.sum((1, 2, 3)), jnp.zeros((1, 2, 2, 3)), jnp.ones((1, 2, 2, 3)))]
      [[0.0], [12.0]]
    """
    if x.shape[0] != y.shape[0]:
        return embed(x), embed(y)
    # One after the other through the same code: the same operations in the same order, in half the memory.
    found = jax.lax.map(embed, jnp.stack([x, y]))
    return tuple(jax.tree.map(lambda leaf, side=side: leaf[side], found) for side in (0, 1))


def unbatch(values: jax.Array, single: bool) -> jax.Array:
    """The values of one image, if it came without a batch."""
    return values[0] if single else values


def _check_counts(name_x: str, x: int, name_y: str, y: int) -> None:
    if x != y and 1 not in (x, y):
        raise ValueError(
            f"{name_x} holds {x} images and {name_y} {y}: give as many of each, or a single one on one side"
        )


def _check_values(name: str, image: jax.Array | np.ndarray) -> None:
    if isinstance(image, jax.core.Tracer):
        return
    library = jnp if isinstance(image, jax.Array) else np
    with jax.ensure_compile_time_eval():  # a concrete image may be compared inside of a function that is traced
        low, high = (float(f(image)) for f in (library.min, library.max))
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    # Resampling and codecs overshoot a little; scales other than [0, 1] overshoot a lot.
    if low < -0.5:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}; images are in [0, 1]: from [-1, 1], use ({name} + 1) / 2"
        )
    if high > 1.5:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}; images are in [0, 1]: from [0, 255], use {name} / 255"
        )


def _array(name: str, given: Any) -> jax.Array | np.ndarray:
    """What was given as an array of floats."""
    kind = type(given).__name__
    if not isinstance(given, jax.Array):
        to_jax = getattr(given, "__jax_array__", None)  # a parameter of Flax has it
        given = to_jax() if to_jax else _of_numpy(name, given)
    if jnp.issubdtype(given.dtype, jnp.integer):
        bits, most = (16, 65535) if given.dtype == np.uint16 else (8, 255)
        array = name if kind in ("ndarray", "ArrayImpl") else f"np.asarray({name})"
        raise TypeError(
            f"{name} is {given.dtype}; images are float sRGB in [0, 1]: convert {bits}-bit ones with {array} / {most}"
        )
    if not jnp.issubdtype(given.dtype, jnp.floating):
        raise TypeError(f"{name} is {given.dtype}; images are float sRGB in [0, 1]")
    return given


def _of_numpy(name: str, given: Any) -> np.ndarray:
    """An array of NumPy, as JAX can read it."""
    if not (hasattr(given, "__array__") or hasattr(given, "__array_interface__")):
        raise TypeError(f"{name} must be an array, not {type(given).__name__}")
    if np.ma.is_masked(given):
        raise TypeError(f"{name} has masked values, which would be compared as if they were not: use {name}.filled(0)")
    try:
        found = np.asarray(given)
    except Exception as error:  # whatever a library of arrays raises, such as PyTorch for what needs a gradient
        reason = str(error).strip().partition("\n")[0]
        raise TypeError(f"{name}, of type {type(given).__name__}, cannot be read as an array: {reason}") from error
    if found.dtype == np.longdouble:
        return found.astype(np.float64)
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _check_shape(metric: Needs, name: str, image: jax.Array | np.ndarray) -> None:
    if image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise ValueError(f"{name} has shape {image.shape}; images are [N, H, W, 3] or [H, W, 3], channels last")
    if image.shape[0] == 0:
        raise ValueError(f"{name} has shape {image.shape}: there is no image in it")
    if not all(isinstance(length, int) for length in image.shape[-3:-1]):
        raise ValueError(
            f"{name} has shape {image.shape}: only the number of images may be symbolic; fix height and width"
        )
    if min(image.shape[-3:-1]) < metric.smallest_size:
        least = f"{metric.smallest_size} x {metric.smallest_size}"
        raise ValueError(f"{name} is {_size(image)} pixels (height x width); {metric.name} needs at least {least}")


def _size(image) -> str:
    return f"{image.shape[-3]} x {image.shape[-2]}"
