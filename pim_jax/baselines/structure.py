"""Structural similarity, of one scale and of several."""

import jax
import jax.numpy as jnp

from pim_jax import extras
from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.luma import luma

WINDOW = 11  # pixels, the side of the Gaussian window
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, fine to coarse
K1 = 0.01
_NO_LUMINANCE = 1e6  # a K1 so large that the quotient of luminances is 1


def ssim() -> Baseline:
    """1 - SSIM of luma.

    Raises:
      ImportError: dm-pix is not installed.

    References:
      Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity. 2004.

    Examples:
      >>> ssim().name
      'SSIM'
    """
    return Baseline("SSIM", extras.version("dm-pix"), WINDOW, jax.jit(luma), lambda x, y: 1 - mean_ssim(x, y))


def ms_ssim() -> Baseline:
    """1 - MS-SSIM of luma.

    Raises:
      ImportError: dm-pix is not installed.

    References:
      Wang, Simoncelli, Bovik: Multiscale structural similarity for image quality assessment. 2003, equation 7.

    Examples:
      >>> ms_ssim().name
      'MS-SSIM'
    """
    return Baseline("MS-SSIM", extras.version("dm-pix"), WINDOW, jax.jit(luma), lambda x, y: 1 - multiscale_ssim(x, y))


@jax.jit
def mean_ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    """SSIM, averaged over the positions at which the whole window lies in the image.

    Args:
      x, y: [N, H, W] in [0, 1], at least 11 x 11; either may have N = 1.

    Returns:
      [N] float32, 1 for equal images.

    Examples:
      >>> import numpy as np
      >>> ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16)
      >>> float(mean_ssim(ramp, ramp)[0].round(5))
      1.0
    """
    return ssim_map(x, y).mean((1, 2))


@jax.jit
def ssim_map(x: jax.Array, y: jax.Array) -> jax.Array:
    """SSIM at every position at which the whole window lies in the image.

    Args:
      x, y: as for `mean_ssim`.

    Returns:
      [N, H - 10, W - 10] float32, at most 1.

    Examples:
      >>> import numpy as np
      >>> ssim_map(np.zeros((1, 16, 20), np.float32), np.zeros((1, 16, 20), np.float32)).shape
      (1, 6, 10)
    """
    return _ssim(x, y, K1)


@jax.jit
def multiscale_ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    """MS-SSIM: the product of contrast and structure at every scale and of luminance at the coarsest.

    Five scales need 161 pixels. Of smaller images as many scales are taken as the window fits in, with the first
    weights divided by their sum. A negative term, for which the product is not defined, counts as 0.

    Args, Returns: as `mean_ssim`.

    Examples:
      >>> import numpy as np
      >>> ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
      >>> float(multiscale_ssim(ramp, ramp)[0].round(5))
      1.0
    """
    terms = scale_terms(x, y)
    weights = jnp.array(scale_weights(len(terms)), terms.dtype)
    positive = terms > 0
    # The logarithm never sees a term that is not positive: where the product is 0, its gradient is 0.
    logarithms = jnp.log(jnp.where(positive, terms, 1))
    return jnp.where(positive.all(0), jnp.exp((weights[:, None] * logarithms).sum(0)), 0)


def scale_terms(x: jax.Array, y: jax.Array) -> jax.Array:
    """What MS-SSIM multiplies.

    Args:
      x, y: as for `mean_ssim`.

    Returns:
      [scales, N], at most 5 scales, fine to coarse: means of contrast times structure, and at the coarsest SSIM.

    Examples:
      >>> import numpy as np
      >>> scale_terms(np.zeros((1, 64, 64), np.float32), np.ones((1, 64, 64), np.float32)).round(3)[:, 0].tolist()
      [1.0, 1.0, 0.0]
    """
    return jnp.stack([scale.mean((1, 2)) for scale in scale_maps(x, y)])


@jax.jit
def scale_maps(x: jax.Array, y: jax.Array) -> list[jax.Array]:
    """What MS-SSIM averages at every scale.

    Args:
      x, y: as for `mean_ssim`.

    Returns:
      [N, h, w] for each scale, fine to coarse: contrast times structure, and at the coarsest SSIM.

    Examples:
      >>> import numpy as np
      >>> [scale.shape for scale in scale_maps(*np.zeros((2, 1, 64, 64), np.float32))]
      [(1, 54, 54), (1, 22, 22), (1, 6, 6)]
    """
    scales = sum(-(-min(x.shape[1:]) // 2**scale) >= WINDOW for scale in range(len(WEIGHTS)))
    maps = []
    for scale in range(scales):
        if scale > 0:
            x, y = _halved(x), _halved(y)
        maps.append(_ssim(x, y, k1=K1 if scale == scales - 1 else _NO_LUMINANCE))
    return maps


def scale_weights(scales: int) -> tuple[float, ...]:
    """The exponents of the finest scales, divided by their sum.

    Args:
      scales: how many, at most 5.

    Examples:
      >>> [round(weight, 4) for weight in scale_weights(2)]
      [0.1356, 0.8644]
    """
    weights = WEIGHTS[:scales]
    return tuple(weight / sum(weights) for weight in weights)


def _ssim(x, y, k1):
    import dm_pix

    x, y = jnp.broadcast_arrays(x[..., None], y[..., None])
    with jax.numpy_dtype_promotion("standard"):  # dm-pix mixes integers and floats
        found = dm_pix.ssim(x, y, filter_size=WINDOW, k1=k1, return_map=True)
    return found[..., 0].astype(jnp.float32)


def _halved(x: jax.Array) -> jax.Array:
    """The mean of every 2 x 2 pixels; an odd last row or column counts twice."""
    n, height, width = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return x.reshape(n, (height + 1) // 2, 2, (width + 1) // 2, 2).mean((2, 4))
