"""Feature similarity index: the similarity of phase congruency and of edges, weighted by phase congruency.

Phase congruency is high where waves of all lengths are in phase, as at edges and lines, whatever their contrast.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.baselines import log_gabor
from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import YIQ, channels
from pim_jax.baselines.gradients import SCHARR, gradients, magnitude
from pim_jax.baselines.pooling import pooled, viewed_side
from pim_jax.baselines.powers import root
from pim_jax.baselines.similarity import dissimilarity, weighted_mean

CONGRUENCY, EDGES, CHROMA = 0.85, 160.0, 200.0  # constants of the similarities, of pictures on a scale of 255
CHROMA_EXPONENT = 0.03
WAVELENGTHS = (6, 12, 24, 48)  # pixels
ORIENTATIONS = 4
BANDWIDTH = -np.log(0.55)  # deviation of the logarithm of the frequency
SPREAD = np.pi / (ORIENTATIONS * 1.2)  # deviation of the direction
CUTOFF, ORDER = 0.45, 15  # of a lowpass against the corners of the Fourier transform
NOISE_DEVIATIONS, NOISE_SCALE = 2.0, 1 / 1.7  # of the energy that counts as noise
_EPSILON = float(np.finfo(np.float32).eps)
_SMALLEST = WAVELENGTHS[0]
_TINY = 1e-30


class Features(NamedTuple):
    """What FSIM compares, each [N, h, w].

    Attributes:
      congruency: of phase, from 0 to 1.
      edges: the magnitude of the gradient of luma.
      chroma: I and Q, or nothing.
    """

    congruency: jax.Array
    edges: jax.Array
    chroma: tuple[jax.Array, ...]


def fsim(*, colour: bool) -> Baseline:
    """1 - FSIM, or 1 - FSIMc. Large pictures are made smaller first, see `pooling.viewed_side`.

    Args:
      colour: whether chroma is compared too.

    References:
      Zhang, Zhang, Mou, Zhang: FSIM: a feature similarity index for image quality assessment. 2011.
      Kovesi: Image features from phase congruency. 1999.

    Examples:
      >>> fsim(colour=True).name
      'FSIMc'
    """
    encode = functools.partial(features, colour=colour)
    return Baseline("FSIMc" if colour else "FSIM", "2011", _SMALLEST, encode, distance)


@functools.partial(jax.jit, static_argnames="colour")
def features(image: jax.Array, *, colour: bool) -> Features:
    """Phase congruency, edges and chroma of the image, made smaller.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1], at least 6 pixels a side.
      colour: whether there is chroma.

    Returns:
      Edges and chroma on a scale of 255.

    Examples:
      >>> features(jnp.ones((1, 8, 9, 3)), colour=False).edges.shape
      (1, 8, 9)
    """
    side = viewed_side(image.shape[1:3])
    luma, *chroma = (255 * pooled(channel, side) for channel in channels(image, YIQ[: 3 if colour else 1]))
    return Features(phase_congruency(luma), magnitude(gradients(luma, SCHARR)), tuple(chroma))


@jax.jit
def phase_congruency(picture: jax.Array) -> jax.Array:
    """How far waves of four lengths are in phase, over four orientations, less what noise would have.

    Args:
      picture: [N, H, W], on a scale of 255.

    Returns:
      [N, H, W] from 0 to 1; 1 where there is nothing at all.

    Examples:
      >>> phase_congruency(jnp.zeros((1, 8, 9))).max().tolist()
      1.0
    """
    # No filter lets the mean pass. Without it a flat picture is exactly 0, and rounding errors are smaller.
    middle = (picture.max((1, 2), keepdims=True) + picture.min((1, 2), keepdims=True)) / 2
    spectrum = jnp.fft.fft2(picture - jax.lax.stop_gradient(middle))
    energies, amplitudes = [], []
    for filters in _filters(*picture.shape[1:]):
        answers = jnp.fft.ifft2(spectrum[:, None] * filters.astype(np.complex64)[None])
        even, odd = answers.real, answers.imag  # [N, scales, H, W]
        total_even, total_odd = even.sum(1, keepdims=True), odd.sum(1, keepdims=True)
        total = root(jnp.square(total_even) + jnp.square(total_odd)) + _EPSILON
        mean_even, mean_odd = total_even / total, total_odd / total
        along = even * mean_even + odd * mean_odd
        across = jnp.abs(even * mean_odd - odd * mean_even)
        squares = jnp.square(even) + jnp.square(odd)
        noise = _noise(squares[:, 0], filters)
        energies.append(jnp.maximum((along - across).sum(1) - noise.reshape(-1, 1, 1), 0))
        amplitudes.append(root(squares).sum(1))
    return (sum(energies) + _EPSILON) / (sum(amplitudes) + _EPSILON)


@jax.jit
def distance(x: Features, y: Features) -> jax.Array:
    """1 - FSIM, or 1 - FSIMc.

    Args:
      x, y: from `features`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images, at most 1.

    Examples:
      >>> z = features(jnp.ones((1, 8, 9, 3)), colour=True)
      >>> distance(z, z).tolist()
      [0.0]
    """
    logarithm = jnp.log1p(-dissimilarity(x.congruency, y.congruency, CONGRUENCY))
    logarithm += jnp.log1p(-dissimilarity(x.edges, y.edges, EDGES))
    for a, b in zip(x.chroma, y.chroma, strict=True):
        # A similarity may be negative, and then counts without its sign.
        logarithm += CHROMA_EXPONENT * _log_magnitude(dissimilarity(a, b, CHROMA))
    return weighted_mean(-jnp.expm1(logarithm), jnp.maximum(x.congruency, y.congruency))


def _log_magnitude(lack: jax.Array) -> jax.Array:
    """log |1 - lack|, exactly 0 at 0."""
    positive = lack < 0.5
    rest = jnp.maximum(jnp.abs(1 - lack), _TINY)
    return jnp.where(positive, jnp.log1p(-jnp.where(positive, lack, 0)), jnp.log(rest))


def _filters(height: int, width: int) -> np.ndarray:
    """[orientations, scales, height, width], in the frequency domain."""
    down, right = log_gabor.frequencies(height, width)
    radius, angle = np.hypot(down, right), np.arctan2(-right, down)
    lowpass = 1 / (1 + (radius / CUTOFF) ** (2 * ORDER))
    lengths = np.stack([lowpass * log_gabor.radial(radius, 1 / length, BANDWIDTH) for length in WAVELENGTHS])
    turned = angle - np.pi / ORIENTATIONS * np.arange(ORIENTATIONS).reshape(-1, 1, 1)
    turned = np.arctan2(np.sin(turned), np.cos(turned))
    directions = np.exp(-np.square(turned) / (2 * SPREAD**2))
    return directions[:, None] * lengths


def _noise(squares: jax.Array, filters: np.ndarray) -> jax.Array:
    """The energy, [N], that noise would have, of which the finest scale shows how strong it is.

    Args:
      squares: [N, H, W], of the amplitudes at the finest scale.
      filters: [scales, H, W] of one orientation.
    """
    count = squares[0].size
    median = jnp.sort(squares.reshape(-1, count))[:, (count - 1) // 2]  # of an even number the lower, as in piq
    kernels = np.fft.ifft2(filters).real.reshape(len(filters), -1) * np.sqrt(count)
    # Of noise of variance 1, what all scales answer together over what the finest does.
    gain = np.square(kernels.sum(0)).sum() / np.square(filters[0]).sum()
    deviations = np.sqrt(np.pi / 2) + NOISE_DEVIATIONS * np.sqrt(2 - np.pi / 2)
    return root(median / float(np.log(2))) * float(np.sqrt(gain) * deviations * NOISE_SCALE)
