"""Gradient magnitude similarity deviation, of one scale and of several with colour."""

import jax
import jax.numpy as jnp

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import YIQ, channels
from pim_jax.baselines.gradients import PREWITT, gradients, magnitude
from pim_jax.baselines.luma import luma
from pim_jax.baselines.pooling import halved
from pim_jax.baselines.powers import root
from pim_jax.baselines.similarity import dissimilarity

CONSTANT = 170 / 255**2  # of pictures in [0, 1]
WEIGHTS = (0.096, 0.596, 0.289, 0.019)  # of the scales, fine to coarse
MASKING = 0.5
CHROMA_WEIGHT, CHROMA_SHARE, CHROMA_DECAY = 0.01, 0.32, 15.0
_SMALLEST = 6  # pixels: the filter fits into the halved picture
_SMALLEST_OF_SCALES = 2 ** len(WEIGHTS) + 1  # pixels, as in piq


def gmsd() -> Baseline:
    """GMSD of luma, halved.

    References:
      Xue, Zhang, Mou, Bovik: Gradient magnitude similarity deviation: a highly efficient perceptual image quality
        index. 2014.

    Examples:
      >>> gmsd().name
      'GMSD'
    """
    return Baseline("GMSD", "2014", _SMALLEST, edges, deviation)


def ms_gmsdc() -> Baseline:
    """MS-GMSD with colour, of four scales. The finest is that of the image.

    References:
      Zhang, Sander, Bermak: Gradient magnitude similarity deviation on multiple scales for color image quality
        assessment. 2017.

    Examples:
      >>> ms_gmsdc().name
      'MS-GMSDc'
    """
    return Baseline("MS-GMSDc", "2017", _SMALLEST_OF_SCALES, scales, multiscale_deviation)


@jax.jit
def edges(image: jax.Array) -> tuple[jax.Array]:
    """The magnitude of the gradient of luma at half of the size.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1].

    Returns:
      One array, [N, ceil(H / 2), ceil(W / 2)]. It is in a tuple, as an array 3 wide would pass for a colour image.

    Examples:
      >>> [magnitudes.shape for magnitudes in edges(jnp.ones((1, 7, 8, 3)))]
      [(1, 4, 4)]
    """
    return (magnitude(gradients(halved(luma(image)), PREWITT)),)


@jax.jit
def deviation(x: tuple[jax.Array], y: tuple[jax.Array]) -> jax.Array:
    """The standard deviation of the similarity of magnitudes.

    Args:
      x, y: from `edges`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images, less than 1.

    Examples:
      >>> round(float(deviation((jnp.zeros((1, 2, 2)),), (jnp.array([[[0.0, 1.0], [0.0, 1.0]]]),))[0]), 3)
      0.499
    """
    (edges_x,), (edges_y,) = x, y
    return root(_variance(dissimilarity(edges_x, edges_y, CONSTANT)))


@jax.jit
def scales(image: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
    """The magnitudes of the gradient of luma at four scales, and I and Q at the coarsest.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1], at least 17 pixels a side.

    Returns:
      [N, h, w] for each scale, fine to coarse; [N, h, w] for I and Q. All are on a scale of 255.

    Examples:
      >>> magnitudes, chroma = scales(jnp.ones((1, 17, 24, 3)))
      >>> [scale.shape[1:] for scale in magnitudes], len(chroma)
      ([(17, 24), (9, 12), (5, 6), (3, 3)], 2)
    """
    yiq = [255 * channel for channel in channels(image, YIQ)]
    magnitudes = []
    for scale in range(len(WEIGHTS)):
        if scale > 0:
            yiq = [halved(channel) for channel in yiq]
        magnitudes.append(magnitude(gradients(yiq[0], PREWITT)))
    return magnitudes, yiq[1:]


@jax.jit
def multiscale_deviation(x, y) -> jax.Array:
    """The deviations of the scales, as a weighted root mean square, mixed with the difference of colour.

    Args:
      x, y: from `scales`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images.

    Examples:
      >>> z = scales(jnp.ones((1, 17, 24, 3)))
      >>> multiscale_deviation(z, z).tolist()
      [0.0]
    """
    (edges_x, chroma_x), (edges_y, chroma_y) = x, y
    maps = [dissimilarity(a, b, 255**2 * CONSTANT, MASKING) for a, b in zip(edges_x, edges_y, strict=True)]
    grey = root(sum(weight * _variance(scale) for weight, scale in zip(WEIGHTS, maps, strict=True)))
    chroma = root(sum(jnp.square(a - b).mean((1, 2)) for a, b in zip(chroma_x, chroma_y, strict=True)))
    share = 2 / (1 + CHROMA_SHARE * jnp.exp(-CHROMA_DECAY * grey)) - 1  # of the grey part: less where it is small
    return share * grey + (1 - share) * CHROMA_WEIGHT * chroma


def _variance(values: jax.Array) -> jax.Array:
    return jnp.square(values - values.mean((1, 2), keepdims=True)).mean((1, 2))
