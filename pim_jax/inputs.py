"""What an image must be: float sRGB in [0, 1], channels last. Checks it, and makes a JAX array of it.

The same is done with masks. Images of programs with another convention are checked as they came, so that messages name
their values, and then converted.

While JAX traces there are no values to look at. So the range, and NaN, are checked only of arrays that are concrete.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

_ROUNDING = 1e-3  # by so much may a mask leave [0, 1], as resized ones do


class Needs(Protocol):
    """What is known of a metric here: its name, and the least height and width that it takes, in pixels."""

    @property
    def name(self) -> str: ...

    @property
    def smallest_size(self) -> int: ...


class Convention(NamedTuple):
    """How a program holds images. Make one with `convention`.

    Attributes:
      low, high: the values of black and white.
      channels: "last" or "first".
    """

    low: float = 0.0
    high: float = 1.0
    channels: str = "last"

    def __str__(self):
        return f"images in {self.range}, channels {self.channels}"

    @property
    def range(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"

    def layout(self, channels: int) -> str:
        """The shape of a batch with so many channels, as messages show it."""
        return f"[N, H, W, {channels}]" if self.channels == "last" else f"[N, {channels}, H, W]"

    def with_channels_last(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that an image has once its channels are last."""
        return tuple(shape) if self.channels == "last" else (*shape[:-3], *shape[-2:], *shape[-3:-2])


CONTRACT = Convention()  # of every metric


def _is_float32(value: float) -> bool:
    return abs(value) <= float(np.finfo(np.float32).max)


def convention(value_range: Any, channels: Any) -> Convention:
    """Returns the convention of these values.

    Args:
      value_range: the values of black and white.
      channels: "last" for [N, H, W, 3], "first" for [N, 3, H, W].

    Raises:
      ValueError: there is no such convention.

    Examples:
      >>> print(convention((-1, 1), "first"))
      images in [-1, 1], channels first
    """
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high or not all(map(_is_float32, (low, high, high - low, 1 / (high - low)))):
        raise ValueError(
            f"value_range must be two numbers, of black and of white, such as (-1, 1), not {value_range!r}"
        )
    if channels not in ("last", "first"):
        raise ValueError(f'channels must be "last" or "first", not {channels!r}')
    return Convention(low, high, channels)


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


def pair(metric: Needs, x: Any, y: Any, mask: Any = None, convention: Convention = CONTRACT) -> Pair:
    """Returns two images, or batches of them, as JAX arrays that can be compared.

    Args:
      metric: what is to compare them.
      x, y: [N, H, W, 3] or [H, W, 3]; either may have N = 1 against a batch.
      mask: of the same height and width, see `mask_of`, or None; it may have N = 1 too, or be one of many of a pair.
      convention: how they are held.

    Raises:
      As `image` and `mask_of`; and ValueError if their sizes or their numbers differ.

    Examples:
      >>> from types import SimpleNamespace
      >>> x = np.zeros((8, 8, 3), np.float32)
      >>> pair(SimpleNamespace(name="pim-1", smallest_size=8), x, x).single
      True
    """
    given = {"x": image(metric, "x", x, convention), "y": image(metric, "y", y, convention)}
    if mask is not None:
        given["mask"] = mask_of(mask, convention)
    _check_sizes(given)
    _check_counts({name: batch(array).shape[0] for name, array in given.items()})
    return Pair(given["x"], given["y"], given.get("mask"), all(array.ndim == 3 for array in given.values()))


def image(metric: Needs, name: str, given: Any, convention: Convention = CONTRACT) -> jax.Array:
    """Returns an image, or a batch of them, that a metric can take.

    Args:
      metric: what is to take it.
      name: what messages call it.
      given: float sRGB in the convention, for the usual one [N, H, W, 3] or [H, W, 3] in [0, 1]. It is an array of JAX
        or NumPy, in any order of bytes, or something that NumPy can read as one.
      convention: how it is held.

    Returns:
      [N, H, W, 3] or [H, W, 3] in [0, 1].

    Raises:
      TypeError: it is no array, it is not floating-point, or some of its values are masked.
      ValueError: its shape does not fit; or, outside of `jit`, values are not finite or not in the range.

    Examples:
      >>> from types import SimpleNamespace
      >>> pim = SimpleNamespace(name="pim-1", smallest_size=8)
      >>> image(pim, "x", np.full((8, 8, 3), 0.5, ">f4")).dtype
      dtype('float32')
      >>> image(pim, "x", np.zeros((8, 8, 3), np.uint8))
      Traceback (most recent call last):
      TypeError: x is uint8; images are float sRGB in [0, 1]: convert 8-bit ones with x / 255
    """
    found = _array(name, given)
    _check_floats(name, found, type(given).__name__, convention)
    _check_shape(metric, name, found, convention)
    _check_values(name, found, convention)
    return jnp.asarray(found) if convention == CONTRACT else _converted(jnp.asarray(found), convention)


def mask_of(given: Any, convention: Convention = CONTRACT) -> jax.Array:
    """Returns a mask, or a batch of them, as a metric can take it.

    Args:
      given: [N, H, W, 1], [N, H, W] or [H, W], boolean, or float in [0, 1]: how much every pixel counts.
      convention: how images are held. If their channels are first, a mask may be [N, 1, H, W].

    Returns:
      [N, H, W, 1] or [H, W, 1] float32.

    Raises:
      TypeError: it is no array, or neither boolean nor floating-point.
      ValueError: its shape does not fit; or, outside of `jit`, values are not finite or not in [0, 1], or a mask is 0
        everywhere.

    Examples:
      >>> mask_of(np.eye(8, dtype=bool)).shape
      (8, 8, 1)
      >>> mask_of(np.zeros((8, 8)))
      Traceback (most recent call last):
      ValueError: the mask is 0 everywhere, so there is nothing to average: leave such images out
    """
    found = _array("mask", given)
    if not (jnp.issubdtype(found.dtype, jnp.floating) or found.dtype == bool):
        raise TypeError(f"mask is {found.dtype}; masks are boolean, or float in [0, 1]: use mask > 0, or mask / 255")
    if found.ndim not in (2, 3, 4) or (found.ndim == 4 and convention.with_channels_last(found.shape)[-1] != 1):
        raise ValueError(f"mask has shape {found.shape}; masks are [N, H, W], {convention.layout(1)} or [H, W]")
    if found.shape[0] == 0:
        raise ValueError(f"mask has shape {found.shape}: there is no mask in it")
    _check_mask_values(found)
    mask = jnp.asarray(found).astype(jnp.float32)
    if mask.ndim < 4:
        return mask[..., None]
    return mask if convention.channels == "last" else jnp.moveaxis(mask, -3, -1)


def check_embeddings(like: Any, z_x: Any, z_y: Any) -> None:
    """Checks that two embeddings can be compared.

    Args:
      like: what `embed` returns of the smallest image, or shapes in its place. Axes of length 0 may have any length.
      z_x, z_y: pytrees of arrays with the number of images leading; either may hold one image against a batch.

    Raises:
      TypeError: one is no such pytree: it is an image, or comes from another kind of metric.
      ValueError: they are of images of different sizes, of different metrics, or of numbers of images that do not fit.

    Examples:
      >>> check_embeddings([np.zeros((1, 1))], [np.zeros((1, 4))], [np.zeros((2, 3))])
      Traceback (most recent call last):
      ValueError: the embeddings are not of one metric and one size of images: their shapes are [(4,)] and [(3,)]
    """
    form = _form(like)
    for name, z in (("z_x", z_x), ("z_y", z_y)):
        if _form(z) != form or _smaller(z, like):
            raise TypeError(f"{name} must be what `embed` of this metric returns, not {_kind(z)}: use embed(image)")
    leaves_x, leaves_y = jax.tree.leaves(z_x), jax.tree.leaves(z_y)
    shapes_x, shapes_y = ([leaf.shape[1:] for leaf in leaves] for leaves in (leaves_x, leaves_y))
    if shapes_x != shapes_y:
        raise ValueError(
            f"the embeddings are not of one metric and one size of images: their shapes are {shapes_x} and {shapes_y}"
        )
    _check_counts({"z_x": leaves_x[0].shape[0], "z_y": leaves_y[0].shape[0]})


def embedding(metric: Any) -> Any:
    """What a metric's `embed` returns of one small image, with the shapes of arrays in their place."""
    return jax.eval_shape(metric.embed, jax.ShapeDtypeStruct((1, *[metric.smallest_size] * 2, 3), jnp.float32))


def _form(z: Any) -> tuple:
    """What holds the arrays of a pytree, and how many axes they have; how many there are may depend on the size."""
    leaves = jax.tree.leaves(z)
    return None if hasattr(z, "shape") else type(z), {getattr(leaf, "ndim", None) for leaf in leaves}


def _smaller(z: Any, like: Any) -> bool:
    """Whether z is too small for any image: one colour image has the axes of a batch of grey ones, each 3 wide."""
    leaves = zip(jax.tree.leaves(z), jax.tree.leaves(like), strict=False)  # a larger image may have more
    return any(side < least for a, b in leaves for side, least in zip(a.shape[1:], b.shape[1:], strict=False))


def _kind(z: Any) -> str:
    return f"an array of shape {z.shape}" if hasattr(z, "shape") else f"{type(z).__name__}"


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

    Examples:
      >>> z = np.zeros((1, 8, 8))
      >>> mask_of_embeddings(lambda x: x.mean(3), z, z, np.ones((8, 9)))
      Traceback (most recent call last):
      ValueError: mask is 8 x 9 (height x width), and the embeddings are of images of another size
    """
    mask = batch(mask_of(given))
    leaves_x, leaves_y = jax.tree.leaves(z_x), jax.tree.leaves(z_y)
    # As many as were embedded last: what JAX traced then, it does not trace again.
    images = jax.ShapeDtypeStruct((leaves_y[0].shape[0], *mask.shape[1:3], 3), jnp.float32)
    if [leaf.shape[1:] for leaf in jax.tree.leaves(jax.eval_shape(embed, images))] != [z.shape[1:] for z in leaves_x]:
        raise ValueError(
            f"mask is {_size(mask.shape)} (height x width), and the embeddings are of images of another size"
        )
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

    Examples:
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
                f"{first} is {_size(x.shape)} and {name} is {_size(other.shape)} (height x width): "
                f"{'images' if name != 'mask' else 'an image and its mask'} must have one size; crop or resize one"
            )


def _check_counts(counts: dict[str, int]) -> None:
    several = [(name, count) for name, count in counts.items() if count != 1]
    for (first, count), (name, other) in itertools.pairwise(several):
        if count != other:
            raise ValueError(
                f"{first} holds {count} images and {name} {other}: give as many of each, or a single one on one side"
            )


@functools.partial(jax.jit, static_argnums=1)
def _converted(image: jax.Array, convention: Convention) -> jax.Array:
    """An image that is held in a convention, as the contract wants it."""
    if convention.channels == "first":
        image = jnp.moveaxis(image, -3, -1)
    return (image.astype(jnp.float32) - convention.low) / (convention.high - convention.low)


def _check_values(name: str, image: jax.Array | np.ndarray, convention: Convention) -> None:
    if isinstance(image, jax.core.Tracer):
        return
    low, high = _extremes(name, image)
    # Resampling and codecs overshoot a little; other scales overshoot a lot.
    slack = (convention.high - convention.low) / 2
    if low >= convention.low - slack and high <= convention.high + slack:
        return
    if (convention.low, convention.high) != (0, 1):
        advice = "rescale them, or load the metric with the value_range that they have"
    elif low < -slack:
        advice = f"from [-1, 1], use ({name} + 1) / 2"
    else:
        advice = f"from [0, 255], use {name} / 255"
    raise ValueError(f"{name} has values from {low:.3g} to {high:.3g}; images are in {convention.range}: {advice}")


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


def _check_floats(name: str, array: jax.Array | np.ndarray, kind: str, convention: Convention) -> None:
    if jnp.issubdtype(array.dtype, jnp.floating):
        return
    advice = ""
    if jnp.issubdtype(array.dtype, jnp.integer):
        bits, most = (16, 65535) if array.dtype == np.uint16 else (8, 255)
        shown = name if kind in ("ndarray", "ArrayImpl") else f"np.asarray({name})"
        usual = (convention.low, convention.high) == (0, 1)
        advice = f": convert {bits}-bit ones with {shown} / {most}" if usual else ": convert them to that"
    raise TypeError(f"{name} is {array.dtype}; images are float sRGB in {convention.range}{advice}")


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


def _check_shape(metric: Needs, name: str, image: jax.Array | np.ndarray, convention: Convention) -> None:
    shape = convention.with_channels_last(image.shape)
    if image.ndim not in (3, 4) or shape[-1] != 3:
        layout = convention.layout(3)
        raise ValueError(
            f"{name} has shape {image.shape}; images are {layout} or {layout.replace('N, ', '')}, "
            f"channels {convention.channels}"
        )
    if shape[0] == 0:
        raise ValueError(f"{name} has shape {image.shape}: there is no image in it")
    size = shape[-3:-1]
    if not all(isinstance(length, int) for length in size):
        raise ValueError(
            f"{name} has shape {image.shape}: only the number of images may be symbolic; fix height and width"
        )
    if min(size) < metric.smallest_size:
        least = f"{metric.smallest_size} x {metric.smallest_size}"
        raise ValueError(f"{name} is {_size(shape)} pixels (height x width); {metric.name} needs at least {least}")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[-3]} x {shape[-2]}"
