"""Mean deviation similarity index."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import LHM, channels
from pim_jax.baselines.gradients import PREWITT, Gradients, gradients, magnitude
from pim_jax.baselines.pooling import pooled, viewed_side
from pim_jax.baselines.powers import power, root
from pim_jax.baselines.similarity import dissimilarity

EDGES, FUSED_EDGES, CHROMA = 140.0, 55.0, 550.0  # constants of the similarities, of pictures on a scale of 255
EDGES_SHARE = 0.6  # of the sum with the similarity of chroma
EXPONENT = 0.25  # of the similarity, and of the deviation
_SMALLEST = 3  # pixels: the filter fits


class Features(NamedTuple):
    """What MDSI compares, each [N, h, w].

    Attributes:
      edges: the two components of the gradient of luma.
      chroma: the two channels without luma.
    """

    edges: Gradients
    chroma: tuple[jax.Array, jax.Array]


def mdsi() -> Baseline:
    """MDSI, whose two parts are added. Large pictures are made smaller first, see `pooling.viewed_side`.

    x is the reference. It is not symmetric: edges that y lacks count otherwise than edges that it has too many.

    References:
      Nafchi, Shahkolaei, Hedjam, Cheriet: Mean deviation similarity index: efficient and reliable full-reference image
        quality evaluator. 2016.

    Examples:
      >>> mdsi().name
      'MDSI'
    """
    return Baseline("MDSI", "2016", _SMALLEST, features, deviation)


@jax.jit
def features(image: jax.Array) -> Features:
    """Edges and chroma of the image, made smaller.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1].

    Returns:
      Arrays on a scale of 255.

    Examples:
      >>> features(jnp.ones((1, 8, 9, 3))).chroma[0].shape
      (1, 8, 9)
    """
    side = viewed_side(image.shape[1:3])
    padding = ((side - 1) // 2, side // 2)
    luma, *chroma = (255 * pooled(channel, side, padding) for channel in channels(image, LHM))
    return Features(gradients(luma, PREWITT), tuple(chroma))


@jax.jit
def deviation(x: Features, y: Features) -> jax.Array:
    """The root of the root of the mean deviation of the similarity.

    Args:
      x, y: from `features`, of reference and distorted, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images.

    Examples:
      >>> z = features(jnp.ones((1, 8, 9, 3)))
      >>> deviation(z, z).tolist()
      [0.0]
    """
    fused = tuple((a + b) / 2 for a, b in zip(x.edges, y.edges, strict=True))
    of_x, of_y, of_both = map(magnitude, (x.edges, y.edges, fused))
    edges = (
        dissimilarity(of_x, of_y, EDGES)
        + dissimilarity(of_y, of_both, FUSED_EDGES)
        - dissimilarity(of_x, of_both, FUSED_EDGES)
    )
    differences = sum(jnp.square(a - b) for a, b in zip(x.chroma, y.chroma, strict=True))
    chroma = differences / (sum(jnp.square(channel) for channel in (*x.chroma, *y.chroma)) + CHROMA)
    real, imaginary = _root_of_similarity(EDGES_SHARE * edges + (1 - EDGES_SHARE) * chroma)
    real, imaginary = (part - part.mean((1, 2), keepdims=True) for part in (real, imaginary))
    return power(root(jnp.square(real) + jnp.square(imaginary)).mean((1, 2)), EXPONENT)


def _root_of_similarity(lack: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(1 - lack)^EXPONENT - 1, which is complex where the similarity is negative."""
    positive = lack < 1
    above = jnp.expm1(EXPONENT * jnp.log1p(-jnp.where(positive, lack, 0)))
    below = power(jnp.where(positive, 0, lack - 1), EXPONENT)
    real = jnp.where(positive, above, below * jnp.cos(jnp.pi * EXPONENT) - 1)
    return real, jnp.where(positive, 0, below * jnp.sin(jnp.pi * EXPONENT))
