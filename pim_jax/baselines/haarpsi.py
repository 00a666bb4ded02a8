"""Haar wavelet-based perceptual similarity index.

It compares how strongly fine Haar wavelets answer to the pictures, and weighs by how strongly coarse ones do.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import YIQ, channels
from pim_jax.baselines.pooling import halved
from pim_jax.baselines.similarity import dissimilarity

SIDES = (2, 4, 8)  # of the wavelets, in pixels of the halved picture
CONSTANT = 30.0  # of pictures on a scale of 255
SLOPE = 4.2  # of the logistic function that similarities go through
_SMALLEST = 2 * SIDES[-1]


class Responses(NamedTuple):
    """The magnitudes of what wavelets answer.

    Attributes:
      fine: [N, h, w] of the finer two wavelets, for each of the two orientations.
      coarse: [N, h, w] of the coarsest wavelet, for each of the two orientations.
      chroma: [N, h, w] of local means of I and Q.
    """

    fine: tuple[list[jax.Array], list[jax.Array]]
    coarse: tuple[jax.Array, jax.Array]
    chroma: list[jax.Array]


def haarpsi() -> Baseline:
    """1 - HaarPSI with colour, of the halved picture.

    References:
      Reisenhofer, Bosse, Kutyniok, Wiegand: A Haar wavelet-based perceptual similarity index for image quality
        assessment. 2018.

    Examples:
      >>> haarpsi().name
      'HaarPSI'
    """
    return Baseline("HaarPSI", "2018", _SMALLEST, responses, distance)


@jax.jit
def responses(image: jax.Array) -> Responses:
    """What the wavelets answer.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1], at least 16 pixels a side.

    Returns:
      Magnitudes of h = ceil(H / 2) and w = ceil(W / 2), on a scale of 255.

    Examples:
      >>> float(responses(jnp.ones((1, 40, 40, 3))).coarse[0][0, 10, 10])
      0.0
    """
    luma, *chroma = (255 * halved(channel) for channel in channels(image, YIQ))
    *fine, coarse = ([_wavelet(luma, side, axis) for axis in (1, 2)] for side in SIDES)
    # The means of 2 x 2 pixels at every position.
    means = [jnp.abs(_sums(_sums(_zeros_after(channel), 2, 1), 2, 2) / 4) for channel in chroma]
    return Responses(tuple(map(list, zip(*fine, strict=True))), tuple(coarse), means)


@jax.jit
def distance(x: Responses, y: Responses) -> jax.Array:
    """1 - HaarPSI.

    Args:
      x, y: from `responses`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images, at most 1.

    Examples:
      >>> z = responses(jnp.ones((1, 16, 20, 3)))
      >>> distance(z, z).tolist()
      [0.0]
    """
    weights = [jnp.maximum(a, b) for a, b in zip(x.coarse, y.coarse, strict=True)]
    weights.append((weights[0] + weights[1]) / 2)
    sides = zip((*x.fine, x.chroma), (*y.fine, y.chroma), strict=True)
    lacks = [sum(dissimilarity(a, b, CONSTANT) for a, b in zip(*side, strict=True)) / 2 for side in sides]
    total = sum(weight.sum((1, 2)) for weight in weights)
    lost = sum((w * _logistic_loss(lack)).sum((1, 2)) for w, lack in zip(weights, lacks, strict=True))
    lost = lost / jnp.where(total > 0, total, 1)
    # Back through the logistic function: by how much its argument is less than SLOPE.
    top = jax.nn.sigmoid(SLOPE)
    lack = (jnp.log1p(lost / (1 - top)) - jnp.log1p(-lost / top)) / SLOPE
    return lack * (2 - lack)  # 1 - (1 - lack)^2


def _logistic_loss(lack: jax.Array) -> jax.Array:
    """logistic(SLOPE) - logistic(SLOPE (1 - lack)), exactly 0 at 0."""
    return jnp.exp(-SLOPE) * jnp.expm1(SLOPE * lack) * jax.nn.sigmoid(SLOPE) * jax.nn.sigmoid(SLOPE * (1 - lack))


def _wavelet(picture: jax.Array, side: int, axis: int) -> jax.Array:
    """The magnitude of the difference of the two halves of a square at every position, with zeros around."""
    half = side // 2
    wide = jnp.pad(picture, ((0, 0), (half - 1, half), (half - 1, half)))
    sums = _sums(_sums(wide, side, 3 - axis), half, axis)
    length = sums.shape[axis]
    first = jax.lax.slice_in_dim(sums, 0, length - half, axis=axis)
    return jnp.abs(first - jax.lax.slice_in_dim(sums, half, length, axis=axis)) / side


def _sums(x: jax.Array, length: int, axis: int) -> jax.Array:
    """Sums of `length` neighbours, a power of two."""
    step = 1
    while step < length:
        end = x.shape[axis]
        x = jax.lax.slice_in_dim(x, 0, end - step, axis=axis) + jax.lax.slice_in_dim(x, step, end, axis=axis)
        step *= 2
    return x


def _zeros_after(x: jax.Array) -> jax.Array:
    return jnp.pad(x, ((0, 0), (0, 1), (0, 1)))
