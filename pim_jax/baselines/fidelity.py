"""Peak signal-to-noise ratio."""

import jax
import jax.numpy as jnp

from pim_jax import extras
from pim_jax.baselines.baseline import Baseline
from pim_jax.model import area

HIGHEST = 100.0  # dB


def psnr() -> Baseline:
    """PSNR over the three channels, as a distance.

    Raises:
      ImportError: dm-pix is not installed.

    Examples:
      >>> psnr().name
      'PSNR'
    """
    return Baseline("PSNR", extras.version("dm-pix"), 1, lambda x: x, negative_psnr)


@jax.jit
def negative_psnr(x: jax.Array, y: jax.Array) -> jax.Array:
    """-PSNR, which grows with the difference.

    Equal images would have an infinite PSNR, which no average survives. So it is cut at 100 dB, where images differ by
    less than a step of 16 bits.

    Args:
      x, y: [N, H, W, 3] float sRGB in [0, 1]; either may have N = 1.

    Returns:
      [N] float32, minus decibels, at least -100.

    Examples:
      >>> import numpy as np
      >>> black, grey = np.zeros((1, 4, 4, 3), np.float32), np.full((1, 4, 4, 3), 0.1, np.float32)
      >>> [f"{negative_psnr(black, y)[0]:.3f}" for y in (grey, black)]
      ['-20.000', '-100.000']
    """
    import dm_pix

    x, y = jnp.broadcast_arrays(x.astype(jnp.float32), y.astype(jnp.float32))
    # Cut before the logarithm: where it is cut the gradient is 0, and not infinite.
    return 10 * jnp.log10(jnp.maximum(dm_pix.mse(x, y), 10 ** (-HIGHEST / 10)))


@jax.jit(static_argnames="block")
def psnr_map(x: jax.Array, y: jax.Array, *, block: int = 16, highest: float = HIGHEST) -> jax.Array:
    """PSNR of every block of a picture.

    Args:
      x, y: [N, H, W] in a range of 1; either may have N = 1.
      block: side of the blocks, in pixels; if the picture is no whole number of them, they are a little smaller.
      highest: decibels at which it is cut; its gradient is 0 there.

    Returns:
      [N, ceil(H / block), ceil(W / block)] float32, decibels, 0 to `highest`.

    Examples:
      >>> x, y = jnp.zeros((1, 2, 4)), jnp.array([[[0.0, 0, 0.1, 0.1], [0.0, 0, 0.1, 0.1]]])
      >>> psnr_map(x, y, block=2, highest=50.0).round().tolist()
      [[[50.0, 20.0]]]
    """
    squares = jnp.square(x.astype(jnp.float32) - y.astype(jnp.float32))
    blocks = area.spread(squares, tuple(-(-length // block) for length in squares.shape[1:]))
    return -10 * jnp.log10(jnp.clip(blocks, 10 ** (-highest / 10), 1))
