"""Normalized Laplacian pyramid distance, as the authors of PIM published it in google-research/perceptual-quality.

A model of the early visual system: the light of a display, the response of the receptors, a Laplacian pyramid, and in
every band a division by the activity around. NLPD of 2016 had other constants, fitted for every band; this is the
definition of 2017.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.luma import luma

LEVELS = 6  # with the lowpass residual
LOWPASS = (0.05, 0.25, 0.4, 0.25, 0.05)
POOL = (
    (0.04, 0.04, 0.05, 0.04, 0.04),
    (0.04, 0.03, 0.04, 0.03, 0.04),
    (0.05, 0.04, 0.05, 0.04, 0.05),
    (0.04, 0.03, 0.04, 0.03, 0.04),
    (0.04, 0.04, 0.05, 0.04, 0.04),
)
SIGMA, SIGMA_LOWPASS = 0.17, 4.86
DARKEST, BRIGHTEST = 5.0, 180.0  # cd/m^2 of the display
DISPLAY_GAMMA, RECEPTOR_GAMMA = 2.4, 1 / 2.6
EXPONENT = 0.6  # of the norm over bands
_SMALLEST = 5  # pixels that reflect over 4


def nlpd() -> Baseline:
    """NLPD of luma.

    References:
      Laparra, Ballé, Berardino, Simoncelli: Perceptual image quality assessment using a normalized Laplacian pyramid.
        2016.
      Laparra, Berardino, Ballé, Simoncelli: Perceptually optimized image rendering. 2017, section 2.

    Examples:
      >>> nlpd().name
      'NLPD'
    """
    return Baseline("NLPD", "2017", _SMALLEST, jax.jit(lambda image: bands(response(luma(image)))), distance)


def response(image: jax.Array) -> jax.Array:
    """What the receptors make of the light that a display emits.

    Args:
      image: [...] in [0, 1]; less than 0 is black.

    Returns:
      [...], from 1.9 (black) to 7.4 (white).

    Examples:
      >>> import numpy as np
      >>> [f"{level:.2f}" for level in response(np.array([0, 1], np.float32))]
      ['1.86', '7.37']
    """
    light = jnp.maximum(image, 0) ** DISPLAY_GAMMA * (BRIGHTEST - DARKEST) + DARKEST
    return light**RECEPTOR_GAMMA


@jax.jit
def bands(x: jax.Array) -> list[jax.Array]:
    """The normalized Laplacian pyramid.

    Args:
      x: [N, H, W]: a `response`, or 255 times an image in [0, 1] for what the authors' code calls the fast NLPD.

    Returns:
      Six bands, fine to coarse, [N, ceil(H / 2^i), ceil(W / 2^i)]: fewer of images so small that a band of under 5
        pixels would have to be split.

    Examples:
      >>> import numpy as np
      >>> [band.shape for band in bands(np.ones((1, 32, 48), np.float32))]
      [(1, 32, 48), (1, 16, 24), (1, 8, 12), (1, 4, 6)]
    """
    *details, lowpass = laplacian(x)
    activity = (_correlate(jnp.abs(detail), jnp.array(POOL), ((2, 2), (2, 2))) for detail in details)
    normalized = [detail / (SIGMA + pool) for detail, pool in zip(details, activity, strict=True)]
    return [*normalized, lowpass / (SIGMA_LOWPASS + jnp.abs(lowpass))]


def laplacian(x: jax.Array) -> list[jax.Array]:
    """The Laplacian pyramid, with images reflected at their borders.

    Args:
      x: [N, H, W].

    Returns:
      The bands, fine to coarse, of the sizes that `bands` describes.

    References:
      Burt, Adelson: The Laplacian pyramid as a compact image code. 1983.

    Examples:
      >>> import numpy as np
      >>> [float(jnp.abs(band).max().round(4)) for band in laplacian(np.ones((1, 8, 8), np.float32))]
      [0.0, 1.0]
    """
    kernel = jnp.outer(jnp.array(LOWPASS), jnp.array(LOWPASS))
    pyramid = []
    while len(pyramid) < LEVELS - 1 and min(x.shape[1:]) >= _SMALLEST:
        # One coarse position more on every side than is kept: what is interpolated at the border needs it.
        wide = _correlate(jnp.pad(x, ((0, 0), (4, 4), (4, 4)), mode="reflect"), kernel, ((0, 0), (0, 0)), stride=2)
        ends = [(0, 1 - length % 2) for length in x.shape[1:]]
        pyramid.append(x - _correlate(wide, 4 * kernel, ends, spacing=2))
        x = wide[:, 1:-1, 1:-1]
    return [*pyramid, x]


@jax.jit
def distance(x: Sequence[jax.Array], y: Sequence[jax.Array]) -> jax.Array:
    """The norm of the difference of two normalized pyramids: of root mean squares over positions, the 0.6-norm.

    Args:
      x, y: from `bands`, for images of one size; either may have N = 1.

    Returns:
      [N] float32.

    Examples:
      >>> import numpy as np
      >>> x, y = (bands(np.full((1, 8, 8), level, np.float32)) for level in (2, 3))
      >>> f"{distance(x, y)[0]:.4f}"
      '0.0285'
    """
    squares = jnp.stack([jnp.square(a - b).mean((1, 2)) for a, b in zip(x, y, strict=True)])
    return _power(_power(squares, EXPONENT / 2).mean(0), 1 / EXPONENT)


def _power(x, exponent):
    """x^exponent for x >= 0, with gradient 0 at 0."""
    return jnp.where(x > 0, jnp.where(x > 0, x, 1) ** exponent, 0)


def _correlate(x, kernel, padding, *, stride=1, spacing=1):
    """Cross-correlation of [N, H, W] with [h, w]; `spacing` puts zeros between the elements of x first."""
    return lax.conv_general_dilated(
        x[:, None],
        kernel.astype(x.dtype)[None, None],
        (stride, stride),
        padding,
        lhs_dilation=(spacing, spacing),
        precision="highest",
    )[:, 0]
