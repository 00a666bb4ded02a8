"""Visual saliency-induced index: the similarity of saliency, edges and chroma, weighted by saliency."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.baselines import log_gabor
from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import D50, LMN, channels, lab
from pim_jax.baselines.gradients import SCHARR, gradients, magnitude
from pim_jax.baselines.pooling import pooled, viewed_side
from pim_jax.baselines.powers import power, root
from pim_jax.baselines.similarity import dissimilarity

SALIENCY, EDGES, CHROMA = 1.27, 386.0, 130.0  # constants of the similarities, of pictures on a scale of 255
EDGES_EXPONENT, CHROMA_EXPONENT = 0.4, 0.02
SALIENCY_SIDE = 256  # pixels: saliency is computed of a square picture
CENTRE, BANDWIDTH = 0.021, 1.34  # of the log-Gabor filter, in cycles per pixel and as a deviation of the logarithm
REACH = 145.0  # pixels from the middle, in which people look first
WARMTH = 0.001  # of warm colours, of a range of 1
_EPSILON = float(np.finfo(np.float32).eps)
_SMALLEST = 3  # pixels: the filter fits


class Features(NamedTuple):
    """What VSI compares, each [N, h, w].

    Attributes:
      saliency: from 0 to 1, before the picture is made smaller.
      edges: the magnitude of the gradient.
      chroma: two channels.
    """

    saliency: jax.Array
    edges: jax.Array
    chroma: tuple[jax.Array, jax.Array]


def vsi() -> Baseline:
    """1 - VSI. Large pictures are made smaller first, see `pooling.viewed_side`.

    The authors' toolbox converts to CIELAB with the white D50, though sRGB has D65. So does this.

    References:
      Zhang, Shen, Li: VSI: a visual saliency-induced index for perceptual image quality assessment. 2014.
      Zhang, Gu, Li: SDSP: a novel saliency detection method by combining simple priors. 2013.

    Examples:
      >>> vsi().name
      'VSI'
    """
    return Baseline("VSI", "2014", _SMALLEST, features, distance)


@jax.jit
def features(image: jax.Array) -> Features:
    """Saliency, edges and chroma of the image, made smaller.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1].

    Returns:
      Edges and chroma on a scale of 255.

    Examples:
      >>> features(jnp.ones((1, 8, 9, 3))).edges.shape
      (1, 8, 9)
    """
    side = viewed_side(image.shape[1:3])

    def smaller(channel):
        return pooled(channel, side, (side // 2, (side - 1) // 2), mode="edge")

    luma, *chroma = (255 * smaller(channel) for channel in channels(image, LMN))
    return Features(smaller(saliency(image)), magnitude(gradients(luma, SCHARR)), tuple(chroma))


@jax.jit
def saliency(image: jax.Array) -> jax.Array:
    """How much every place draws the eye, by SDSP: by contrast, in the middle, and by warm colours.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1].

    Returns:
      [N, H, W] from 0 to 1; 0 everywhere in a flat picture.

    Examples:
      >>> float(saliency(jnp.ones((1, 8, 9, 3))).max())
      0.0
    """
    small = _resized(image.astype(jnp.float32), (SALIENCY_SIDE, SALIENCY_SIDE), corners=False)
    colours = lab(small, D50)
    down, right = log_gabor.frequencies(SALIENCY_SIDE, SALIENCY_SIDE)
    radius = np.hypot(down, right)
    passing = log_gabor.radial(np.where(radius <= 0.5, radius, 0), CENTRE, BANDWIDTH)
    contrast = root(sum(jnp.square(_filtered(channel, passing)) for channel in colours))
    places = [SALIENCY_SIDE * np.fft.fftshift(axis) + 1 for axis in (down, right)]
    middle = np.exp(-sum(np.square(place) for place in places) / REACH**2).astype(np.float32)
    warm = sum(jnp.square(_ranged(channel)) for channel in colours[1:])
    warm = -jnp.expm1(-warm / WARMTH**2)
    whole = contrast * middle[None] * warm
    return _ranged(_resized(whole[..., None], image.shape[1:3], corners=True)[..., 0])


@jax.jit
def distance(x: Features, y: Features) -> jax.Array:
    """1 - VSI.

    Args:
      x, y: from `features`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images, and for two flat ones, where nothing is salient.

    Examples:
      >>> z = features(jnp.ones((1, 8, 9, 3)))
      >>> distance(z, z).tolist()
      [0.0]
    """
    logarithm = jnp.log1p(-dissimilarity(x.saliency, y.saliency, SALIENCY))
    logarithm += EDGES_EXPONENT * jnp.log1p(-dissimilarity(x.edges, y.edges, EDGES))
    first, second = (dissimilarity(a, b, CHROMA) for a, b in zip(x.chroma, y.chroma, strict=True))
    lack = first + second - first * second  # 1 - (1 - first) (1 - second)
    # A negative similarity has a complex power, of which the real part is taken.
    positive = lack < 1
    logarithm += CHROMA_EXPONENT * jnp.log1p(-jnp.where(positive, lack, 0))
    negative = power(jnp.where(positive, 0, lack - 1), CHROMA_EXPONENT) * jnp.cos(jnp.pi * CHROMA_EXPONENT)
    lost = jnp.where(positive, -jnp.expm1(logarithm), 1 - jnp.exp(logarithm) * negative)
    weights = jnp.maximum(x.saliency, y.saliency)
    return (weights * lost).sum((1, 2)) / (weights.sum((1, 2)) + _EPSILON)


def _filtered(channel: jax.Array, passing: np.ndarray) -> jax.Array:
    # The filter lets no mean pass. Without it a flat channel is exactly 0, and rounding errors are smaller.
    middle = jax.lax.stop_gradient((channel.max((1, 2), keepdims=True) + channel.min((1, 2), keepdims=True)) / 2)
    return jnp.fft.ifft2(jnp.fft.fft2(channel - middle) * passing.astype(np.complex64)[None]).real


def _ranged(channel: jax.Array) -> jax.Array:
    """[N, H, W], stretched to the range from 0 to 1; a flat channel becomes 0."""
    # By place: the gradient of jnp.max looks for what equals the maximum. A compiler may compute the channel twice and
    # round it differently. Then nothing does, and the gradient is NaN.
    flat = channel.reshape(len(channel), -1)
    places = (find(flat, axis=1, keepdims=True) for find in (jnp.argmin, jnp.argmax))
    low, high = (jnp.take_along_axis(flat, place, axis=1)[..., None] for place in places)
    return (channel - low) / (high - low + _EPSILON)


def _resized(image: jax.Array, size: tuple[int, int], *, corners: bool) -> jax.Array:
    """Bilinear interpolation of [N, H, W, C] without a filter before it; with `corners` the corners are kept."""
    for axis, length in zip((1, 2), size, strict=True):
        before = image.shape[axis]
        places = np.arange(length)
        if corners:
            places = places * ((before - 1) / max(length - 1, 1))
        else:
            places = np.clip((places + 0.5) * (before / length) - 0.5, 0, before - 1)
        first = np.minimum(places.astype(int), before - 1)
        share = (places - first).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        image = (
            jnp.take(image, first, axis) * (1 - share)
            + jnp.take(image, np.minimum(first + 1, before - 1), axis) * share
        )
    return image
