"""What an image must be, checked: float sRGB in [0, 1], channels last, of one size.

What cannot be checked while JAX traces (range, NaN) is checked of concrete arrays only.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np


class Needs(Protocol):
    """What the checks must know of a metric: its name, and the least height and width that it takes, in pixels."""

    name: str
    smallest_size: int


def check_pair(metric: Needs, x, y) -> tuple[jax.Array, jax.Array, bool]:
    """Checks two images, or batches of them, that are to be compared.

    Args:
      metric: what is to compare them.
      x, y: [N, H, W, 3] or [H, W, 3]; either may have N = 1 against a batch.

    Returns:
      x and y as JAX arrays, and whether both are single images.

    Raises:
      TypeError: one is not floating-point.
      ValueError: shapes do not fit; or, outside of `jit`, values are not finite or not in [0, 1].

    Example:
      >>> from types import SimpleNamespace
      >>> x = np.zeros((8, 8, 3), np.float32)
      >>> check_pair(SimpleNamespace(name="pim-1", smallest_size=8), x, x)[2]
      True
    """
    x, y = check_image(metric, "x", x), check_image(metric, "y", y)
    if x.shape[-3:-1] != y.shape[-3:-1]:
        raise ValueError(
            f"x is {_size(x)} and y is {_size(y)} (height x width): images must have one size; crop or resize one"
        )
    _check_counts("x", len(x) if x.ndim == 4 else 1, "y", len(y) if y.ndim == 4 else 1)
    return x, y, x.ndim == 3 and y.ndim == 3


def check_image(metric: Needs, name: str, image) -> jax.Array:
    """Checks an image, or a batch of them, and returns a JAX array.

    Args:
      metric: what is to take it.
      name: what messages call the image.
      image: [N, H, W, 3] or [H, W, 3].

    Raises:
      As `check_pair`.
    """
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise TypeError(f"{name} must be an array, not {type(image).__name__}")
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"{name} is {image.dtype}; images are float sRGB in [0, 1]: convert 8-bit ones with {name} / 255"
        )
    if image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise ValueError(f"{name} has shape {image.shape}; images are [N, H, W, 3] or [H, W, 3], channels last")
    if image.shape[0] == 0:
        raise ValueError(f"{name} has shape {image.shape}: there is no image in it")
    if min(image.shape[-3:-1]) < metric.smallest_size:
        least = f"{metric.smallest_size} x {metric.smallest_size}"
        raise ValueError(f"{name} is {_size(image)} pixels (height x width); {metric.name} needs at least {least}")
    _check_values(name, image)
    return jnp.asarray(image)


def check_embeddings(z_x, z_y) -> None:
    """Checks that two embeddings can be compared.

    Args:
      z_x, z_y: pytrees of arrays with the number of images leading; either may hold one image against a batch.

    Raises:
      ValueError: they are of images of different sizes, of different metrics, or of numbers of images that do not fit.

    Example:
      >>> check_embeddings([np.zeros((1, 4))], [np.zeros((2, 3))])
      Traceback (most recent call last):
      ValueError: the embeddings are not of one metric and one size of images: their shapes are [(4,)] and [(3,)]
    """
    leaves_x, leaves_y = jax.tree.leaves(z_x), jax.tree.leaves(z_y)
    shapes_x, shapes_y = ([leaf.shape[1:] for leaf in leaves] for leaves in (leaves_x, leaves_y))
    if shapes_x != shapes_y:
        raise ValueError(
            f"the embeddings are not of one metric and one size of images: their shapes are {shapes_x} and {shapes_y}"
        )
    _check_counts("z_x", len(leaves_x[0]), "z_y", len(leaves_y[0]))


def batch(image) -> jax.Array:
    """[N, H, W, 3]; to be called under `jit`, where it copies nothing."""
    return image if image.ndim == 4 else image[None]


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


def _check_values(name: str, image) -> None:
    if isinstance(image, jax.core.Tracer):
        return
    with jax.ensure_compile_time_eval():  # a concrete image may be compared inside of a function that is traced
        low, high = (float(f(image)) for f in (jnp.min, jnp.max))
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


def _size(image) -> str:
    return f"{image.shape[-3]} x {image.shape[-2]}"
