"""Peak signal-to-noise ratio."""

import jax
import jax.numpy as jnp

from pim_jax.evaluation.baselines import extra
from pim_jax.evaluation.baselines.baseline import Baseline

HIGHEST = 100.0  # dB


def psnr() -> Baseline:
    """PSNR over the three channels, as a distance.

    Raises:
      ImportError: dm-pix is not installed.

    Example:
      >>> psnr().name
      'PSNR'
    """
    return Baseline("PSNR", extra.version("dm-pix"), lambda x: x, negative_psnr)


@jax.jit
def negative_psnr(x: jax.Array, y: jax.Array) -> jax.Array:
    """-PSNR, which grows with the difference.

    Equal images would have an infinite PSNR, which no average survives. So it is cut at 100 dB, where images differ by
    less than a step of 16 bits.

    Args:
      x, y: [N, H, W, 3] float sRGB in [0, 1]; either may have N = 1.

    Returns:
      [N] float32, minus decibels, at least -100.

    Example:
      >>> import numpy as np
      >>> black, grey = np.zeros((1, 4, 4, 3), np.float32), np.full((1, 4, 4, 3), 0.1, np.float32)
      >>> [f"{negative_psnr(black, y)[0]:.3f}" for y in (grey, black)]
      ['-20.000', '-100.000']
    """
    import dm_pix

    x, y = jnp.broadcast_arrays(x.astype(jnp.float32), y.astype(jnp.float32))
    # Cut before the logarithm: where it is cut the gradient is 0, and not infinite.
    return 10 * jnp.log10(jnp.maximum(dm_pix.mse(x, y), 10 ** (-HIGHEST / 10)))
