"""What an image must be: float sRGB in [0, 1], channels last. Checks it, and makes a JAX array of it. So with masks.

While JAX traces there are no values to look at. So the range, and NaN, are checked only of arrays that are concrete.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

_ROUNDING = 1e-3  # by so much may a mask leave [0, 1], as resized ones do


class Needs(Protocol):
    """What is known of a metric here: its name, and the least height and width that it takes, in pixels."""

    name: str
    smallest_size: int


class Pair(NamedTuple):
    """Two images, or batches of them, that can be compared.

    Attributes:
      x, y: [N, H, W, 3] or [H, W, 3] float.
      mask: [N, H, W, 1] or [H, W, 1] float32, or None.
      single: whether none of them is a batch.
    """

    x: jax.Array
    y: jax.Array
    mask: jax.Array | None
    single: bool


def pair(metric: Needs, x: Any, y: Any, mask: Any = None) -> Pair:
    """Returns two images, or batches of them, as JAX arrays that can be compared.

    Args:
      metric: what is to compare them.
      x, y: [N, H, W, 3] or [H, W, 3]; either may have N = 1 against a batch.
      mask: of the same height and width, see `mask_of`, or None; it may have N = 1 too, or be one of many of a pair.

    Raises:
      As `image` and `mask_of`; and ValueError if their sizes or their numbers differ.

    Example:
      >>> from types import SimpleNamespace
      >>> x = np.zeros((8, 8, 3), np.float32)
      >>> pair(SimpleNamespace(name="pim-1", smallest_size=8), x, x).single
      True
    """
    given = {"x": image(metric, "x", x), "y": image(metric, "y", y)}
    if mask is not None:
        given["mask"] = mask_of(mask)
    _check_sizes(given)
    _check_counts({name: batch(array).shape[0] for name, array in given.items()})
    return Pair(given["x"], given["y"], given.get("mask"), all(array.ndim == 3 for array in given.values()))


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
    _check_floats(name, found, type(given).__name__)
    _check_shape(metric, name, found)
    _check_values(name, found)
    return jnp.asarray(found)


def mask_of(given: Any) -> jax.Array:
    """Returns a mask, or a batch of them, as a metric can take it.

    Args:
      given: [N, H, W, 1], [N, H, W] or [H, W], boolean, or float in [0, 1]: how much every pixel counts.

    Returns:
      [N, H, W, 1] or [H, W, 1] float32.

    Raises:
      TypeError: it is no array, or neither boolean nor floating-point.
      ValueError: its shape does not fit; or, outside of `jit`, values are not finite or not in [0, 1], or a mask is 0
        everywhere.

    Example:
      >>> mask_of(np.eye(8, dtype=bool)).shape
      (8, 8, 1)
      >>> mask_of(np.zeros((8, 8)))
      Traceback (most recent call last):
      ValueError: the mask is 0 everywhere, so there is nothing to average: leave such images out
    """
    found = _array("mask", given)
    if not (jnp.issubdtype(found.dtype, jnp.floating) or found.dtype == bool):
        raise TypeError(f"mask is {found.dtype}; masks are boolean, or float in [0, 1]: use mask > 0, or mask / 255")
    if found.ndim not in (2, 3, 4) or (found.ndim == 4 and found.shape[-1] != 1):
        raise ValueError(f"mask has shape {found.shape}; masks are [N, H, W], [N, H, W, 1] or [H, W]")
    if found.shape[0] == 0:
        raise ValueError(f"mask has shape {found.shape}: there is no mask in it")
    _check_mask_values(found)
    mask = jnp.asarray(found).astype(jnp.float32)
    return mask if mask.ndim == 4 else mask[..., None]


def check_embeddings(z_x: Any, z_y: Any) -> None:
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
    _check_counts({"z_x": leaves_x[0].shape[0], "z_y": leaves_y[0].shape[0]})


def mask_of_embeddings(embed: Callable, z_x: Any, z_y: Any, given: Any) -> jax.Array:
    """Returns a mask, or a batch of them, under which two embeddings can be compared.

    Args:
      embed: what made the embeddings, a function of images.
      z_x, z_y: embeddings that `check_embeddings` has seen.
      given: as for `mask_of`; it may have N = 1, or be one of many of a pair.

    Returns:
      [N, H, W, 1] float32.

    Raises:
      As `mask_of`; and ValueError if it is of another size than the images were, or if numbers do not fit.

    Example:
      >>> z = np.zeros((1, 8, 8))
      >>> mask_of_embeddings(lambda x: x.mean(3), z, z, np.ones((8, 9)))
      Traceback (most recent call last):
      ValueError: mask is 8 x 9 (height x width), and the embeddings are of images of another size
    """
    mask = batch(mask_of(given))
    leaves_x, leaves_y = jax.tree.leaves(z_x), jax.tree.leaves(z_y)
    image = jax.ShapeDtypeStruct((1, *mask.shape[1:3], 3), jnp.float32)
    if [leaf.shape[1:] for leaf in jax.tree.leaves(jax.eval_shape(embed, image))] != [z.shape[1:] for z in leaves_x]:
        raise ValueError(f"mask is {_size(mask)} (height x width), and the embeddings are of images of another size")
    _check_counts({"z_x": leaves_x[0].shape[0], "z_y": leaves_y[0].shape[0], "mask": mask.shape[0]})
    return mask


def batch(images: jax.Array) -> jax.Array:
    """[N, H, W, C] of images or masks, [N, H, W, C] or [H, W, C]; under `jit` it copies nothing."""
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


def _check_sizes(given: dict[str, jax.Array]) -> None:
    (first, x), *others = given.items()
    for name, other in others:
        if other.shape[-3:-1] != x.shape[-3:-1]:
            raise ValueError(
                f"{first} is {_size(x)} and {name} is {_size(other)} (height x width): "
                f"{'images' if name != 'mask' else 'an image and its mask'} must have one size; crop or resize one"
            )


def _check_counts(counts: dict[str, int]) -> None:
    several = [(name, count) for name, count in counts.items() if count != 1]
    for (first, count), (name, other) in itertools.pairwise(several):
        if count != other:
            raise ValueError(
                f"{first} holds {count} images and {name} {other}: give as many of each, or a single one on one side"
            )


def _check_values(name: str, image: jax.Array | np.ndarray) -> None:
    if isinstance(image, jax.core.Tracer):
        return
    low, high = _extremes(name, image)
    # Resampling and codecs overshoot a little; scales other than [0, 1] overshoot a lot.
    if low < -0.5:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}; images are in [0, 1]: from [-1, 1], use ({name} + 1) / 2"
        )
    if high > 1.5:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}; images are in [0, 1]: from [0, 255], use {name} / 255"
        )


def _check_mask_values(mask: jax.Array | np.ndarray) -> None:
    if isinstance(mask, jax.core.Tracer):
        return
    low, high = _extremes("mask", mask)
    if min(low, 1 - high) < -_ROUNDING:
        raise ValueError(
            f"mask has values from {low:.3g} to {high:.3g}; masks are in [0, 1]: use mask.clip(0, 1), or mask / 255"
        )
    with jax.ensure_compile_time_eval():
        emptiest = float(mask.max(tuple(range(min(mask.ndim - 2, 1), mask.ndim))).min())
    if emptiest <= 0:
        of = "" if mask.ndim == 2 or len(mask) == 1 else " of one of the images"
        raise ValueError(f"the mask{of} is 0 everywhere, so there is nothing to average: leave such images out")


def _extremes(name: str, array: jax.Array | np.ndarray) -> tuple[float, float]:
    """The least and the largest value of a concrete array."""
    library = jnp if isinstance(array, jax.Array) else np
    with jax.ensure_compile_time_eval():  # a concrete image may be compared inside of a function that is traced
        low, high = (float(f(array)) for f in (library.min, library.max))
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    return low, high


def _array(name: str, given: Any) -> jax.Array | np.ndarray:
    """What was given as an array."""
    if isinstance(given, jax.Array):
        return given
    to_jax = getattr(given, "__jax_array__", None)  # a parameter of Flax has it
    return to_jax() if to_jax else _of_numpy(name, given)


def _check_floats(name: str, array: jax.Array | np.ndarray, kind: str) -> None:
    if jnp.issubdtype(array.dtype, jnp.integer):
        bits, most = (16, 65535) if array.dtype == np.uint16 else (8, 255)
        shown = name if kind in ("ndarray", "ArrayImpl") else f"np.asarray({name})"
        raise TypeError(
            f"{name} is {array.dtype}; images are float sRGB in [0, 1]: convert {bits}-bit ones with {shown} / {most}"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} is {array.dtype}; images are float sRGB in [0, 1]")


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
