"""CIEDE2000, the colour difference of the CIE, averaged over an image. It knows nothing of the pixels around."""

import jax
import jax.numpy as jnp

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.colour import D65, lab
from pim_jax.baselines.powers import root

Lab = list[jax.Array]


def ciede2000() -> Baseline:
    """The mean of CIEDE2000, of colours with sRGB's white. A difference of 1 is just noticeable.

    References:
      Sharma, Wu, Dalal: The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
        mathematical observations. 2005.

    Examples:
      >>> ciede2000().name
      'CIEDE2000'
    """
    return Baseline("CIEDE2000", "2000", 1, colours, lambda x, y: difference(x, y).mean((1, 2)))


@jax.jit
def colours(image: jax.Array) -> Lab:
    """L*, a* and b* of every pixel.

    Args:
      image: [N, H, W, 3] float sRGB in [0, 1].

    Returns:
      [N, H, W] each.

    Examples:
      >>> [float(channel.round(2)[0, 0, 0]) for channel in colours(jnp.zeros((1, 1, 1, 3)))]
      [0.0, 0.0, 0.0]
    """
    return lab(image, D65)


@jax.jit
def difference(x: Lab, y: Lab) -> jax.Array:
    """CIEDE2000 of colours, with all parametric factors 1.

    Args:
      x, y: L*, a* and b*, [...] each.

    Returns:
      [...], 0 for equal colours.

    Examples:
      >>> x, y = ([jnp.array(value) for value in colour] for colour in ((50, 2.6772, -79.7751), (50, 0, -82.7485)))
      >>> f"{difference(x, y):.4f}"
      '2.0425'
    """
    (l_x, a_x, b_x), (l_y, a_y, b_y) = x, y
    mean_chroma = (root(a_x**2 + b_x**2) + root(a_y**2 + b_y**2)) / 2
    stretch = 1 + 0.5 * (1 - root(_share(mean_chroma)))
    a_x, a_y = stretch * a_x, stretch * a_y
    c_x, c_y = root(a_x**2 + b_x**2), root(a_y**2 + b_y**2)
    hue_x, hue_y = _hue(a_x, b_x), _hue(a_y, b_y)
    turn = hue_y - hue_x
    turn = turn - 360 * jnp.round(turn / 360)  # the shorter way round
    grey = (c_x == 0) | (c_y == 0)
    hue = jnp.where(grey, hue_x + hue_y, hue_x + turn / 2)
    lightness, chroma = (l_x + l_y) / 2, (c_x + c_y) / 2
    scale = (
        1
        - 0.17 * _cosine(hue - 30)
        + 0.24 * _cosine(2 * hue)
        + 0.32 * _cosine(3 * hue + 6)
        - 0.20 * _cosine(4 * hue - 63)
    )
    offset = jnp.square(lightness - 50)
    d_l = (l_y - l_x) / (1 + 0.015 * offset / jnp.sqrt(20 + offset))
    d_c = (c_y - c_x) / (1 + 0.045 * chroma)
    d_h = 2 * root(c_x * c_y) * _sine(turn / 2) / (1 + 0.015 * chroma * scale)
    around = hue - 360 * jnp.floor(hue / 360)
    rotation = -2 * root(_share(chroma)) * _sine(60 * jnp.exp(-jnp.square((around - 275) / 25)))
    return root(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)


def _share(chroma):
    return chroma**7 / (chroma**7 + 25.0**7)


def _hue(a, b):
    """Degrees; 0 for grey, whose gradient is 0."""
    grey = (a == 0) & (b == 0)
    return jnp.where(grey, 0, jnp.rad2deg(jnp.arctan2(b, jnp.where(grey, 1, a))))


def _sine(degrees):
    return jnp.sin(jnp.deg2rad(degrees))


def _cosine(degrees):
    return jnp.cos(jnp.deg2rad(degrees))
