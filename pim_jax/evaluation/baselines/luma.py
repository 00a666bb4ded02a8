"""The grey picture that metrics defined on one channel compare."""

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

    Example:
      >>> import numpy as np
      >>> float(luma(np.ones((1, 1, 3), np.float32)).round(5)[0, 0])
      1.0
    """
    # A weighted sum, not a matrix product, which some devices compute in fewer bits.
    red, green, blue = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    return 0.299 * red + 0.587 * green + 0.114 * blue
