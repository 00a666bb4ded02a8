"""Luma, the grey picture that some metrics compare, and the two colour differences that it lacks."""

import jax
import jax.numpy as jnp


def luma(image: jax.Array) -> jax.Array:
    """The luma of a colour picture.

    Args:
      image: [..., 3] float sRGB in [0, 1].

    Returns:
      [...] float32 in [0, 1], not rounded to 8 bits as some of the original programs do.

    References:
      ITU-R BT.601, section 2.5.1.

    Examples:
      >>> import numpy as np
      >>> float(luma(np.ones((1, 1, 3), np.float32)).round(5)[0, 0])
      1.0
    """
    # A weighted sum, not a matrix product, which some devices compute in fewer bits.
    red, green, blue = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def colour_differences(image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What luma lacks of a colour picture.

    Args:
      image: [..., 3] float sRGB in [0, 1].

    Returns:
      Cb and Cr, [...] float32 in [-0.5, 0.5], 0 for grey.

    References:
      ITU-R BT.601, section 2.5.2.

    Examples:
      >>> import numpy as np
      >>> [round(float(c[0]), 3) for c in colour_differences(np.array([[0, 0, 1]], np.float32))]
      [0.5, -0.081]
    """
    grey = luma(image)
    red, _, blue = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    return 0.5 / (1 - 0.114) * (blue - grey), 0.5 / (1 - 0.299) * (red - grey)
