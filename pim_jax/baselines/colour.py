"""Spaces of colour in which metrics compare pictures."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from pim_jax.baselines.powers import power

# Weights of red, green and blue, a row for each channel.
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
LMN = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))
LHM = ((0.2989, 0.587, 0.114), *LMN[1:])
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))

# The white that L* = 100 stands for, in X, Y and Z.
D50 = (0.9642119944211994, 1.0, 0.8251882845188288)
D65 = (0.95047, 1.0, 1.08883)


def channels(image: jax.Array, weights: Sequence[Sequence[float]]) -> list[jax.Array]:
    """Weighted sums of red, green and blue.

    Args:
      image: [..., 3].
      weights: three for each channel.

    Returns:
      [...] for each channel.

    Examples:
      >>> [abs(round(float(channel[0]), 4)) for channel in channels(jnp.ones((1, 3)), YIQ)]
      [1.0, 0.0, 0.0]
    """
    # Weighted sums, not a matrix product, which some devices compute in fewer bits.
    red, green, blue = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    return [r * red + g * green + b * blue for r, g, b in weights]


def linear(image: jax.Array) -> jax.Array:
    """Linear light of an sRGB image.

    Args:
      image: [...] float sRGB in [0, 1]; below 0 the line continues that starts there.

    Returns:
      [...] in [0, 1].

    References:
      IEC 61966-2-1.

    Examples:
      >>> [round(float(value), 3) for value in linear(jnp.array([0.0, 0.5, 1.0]))]
      [0.0, 0.214, 1.0]
    """
    return jnp.where(image <= 0.04045, image / 12.92, power((image + 0.055) / 1.055, 2.4))


def lab(image: jax.Array, white: tuple[float, float, float]) -> list[jax.Array]:
    """CIELAB.

    Args:
      image: [..., 3] float sRGB in [0, 1].
      white: `D65`, the white of sRGB, or another one.

    Returns:
      L*, a* and b*, [...] each; L* from 0 to 100.

    References:
      CIE 15, section 8.2.1.

    Examples:
      >>> [round(float(channel[0]), 2) for channel in lab(jnp.array([[1.0, 0.0, 0.0]]), D65)]
      [53.24, 80.09, 67.2]
    """
    relative = (channel / most for channel, most in zip(channels(linear(image), _XYZ), white, strict=True))
    x, y, z = (jnp.where(t > 0.008856, power(t, 1 / 3), (903.3 * t + 16) / 116) for t in relative)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
