"""Linear filters on images: the arithmetic of the pyramids.

Every colour channel is filtered alone, in float32. The precision is "highest", whatever that of other matrix products.
"""

import jax
import jax.numpy as jnp
import numpy as np

_WORTH_COMPILING = 50_000  # positions of the image: XLA takes a second to compile the loops that are fast on CPU


def correlate(image: jax.Array, taps: np.ndarray, *, stride: int = 1, padding: int | None = None) -> list[jax.Array]:
    """Correlates every channel with each filter.

    Args:
      image: [N, H, W, C] float.
      taps: [n, n] or [n, n, filters].
      stride: of the output, in both directions.
      padding: zeros on each side, `n // 2` if None.

    Returns:
      [N, h, w, C] for each filter, h = (H + 2 padding - n) // stride + 1.

    Example:
      >>> [band.shape for band in correlate(jnp.ones((1, 8, 8, 3)), np.ones((3, 3, 2)), stride=2)]
      [(1, 4, 4, 3), (1, 4, 4, 3)]
    """
    padding = taps.shape[0] // 2 if padding is None else padding
    taps = taps.reshape(*taps.shape[:2], -1)
    if image.shape[0] * image.shape[1] * image.shape[2] < _WORTH_COMPILING:
        return _convolved(image, taps, stride, padding)
    return list(
        jax.lax.platform_dependent(
            image,
            cpu=lambda x: _by_rows(x, taps, stride, padding),
            default=lambda x: _convolved(x, taps, stride, padding),
        )
    )


def _by_rows(image, taps, stride, padding) -> list[jax.Array]:
    """Adds shifted and weighted images, by one row of taps after the other.

    XLA's convolutions of single planes are several times slower on CPU. So is one sum of all shifts. XLA also takes
    seconds to compile that.
    """
    n, height, width, channels = image.shape
    size, _, bands = taps.shape
    padded = jnp.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    padded = padded.reshape(n, height + 2 * padding, -1)  # columns and channels in one axis: long inner loops
    rows, columns = (length + 2 * padding - size + 1 for length in (height, width))

    def add(sums, row):
        start, weights = row
        lines = jax.lax.dynamic_slice_in_dim(padded, start, rows, axis=1)[:, ::stride]
        shifts = [jax.lax.slice_in_dim(lines, j * channels, (j + columns) * channels, axis=2) for j in range(size)]
        return [sum((weights[j, i] * shifts[j] for j in range(size)), sums[i]) for i in range(bands)], None

    zeros = jax.lax.full_like(padded, 0, shape=(n, -(-rows // stride), columns * channels))  # as `shard_map` wants them
    sums, _ = jax.lax.scan(add, [zeros] * bands, (jnp.arange(size), jnp.asarray(taps, image.dtype)))
    return [plane.reshape(n, -1, columns, channels)[:, :, ::stride] for plane in sums]


def _convolved(image, taps, stride, padding) -> list[jax.Array]:
    """One convolution. Channels join the batch, because grouped convolutions and their gradients are far slower."""
    n, height, width, channels = image.shape
    planes = image.transpose(0, 3, 1, 2).reshape(n * channels, height, width, 1)
    kernel = jnp.asarray(taps[:, :, None], image.dtype)
    out = jax.lax.conv_general_dilated(
        planes,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return list(out.reshape(n, channels, *out.shape[1:]).transpose(4, 0, 2, 3, 1))


def expand(low: jax.Array, taps: np.ndarray, size: tuple[int, int]) -> jax.Array:
    """Doubles the rate and smooths. This is the transpose of `correlate(image, taps, stride=2, padding=0)`, times 4.

    Args:
      low: [N, h, w, C]. Sample i lies at sample 2 i + 1 of the image.
      taps: [3, 3].
      size: height and width of the image that `low` was made from.

    Returns:
      [N, height - 4, width - 4, C]: the image without two samples at every border.

    Example:
      >>> expand(jnp.ones((1, 4, 4, 3)), np.ones((3, 3)), (9, 9)).shape
      (1, 5, 5, 3)
    """
    n, height, width, channels = low.shape
    planes = low.transpose(0, 3, 1, 2).reshape(n * channels, height, width, 1)
    kernel = jnp.asarray(4 * taps[:, :, None, None], low.dtype)
    # Low sample i lies at 2 i + 1. The wanted span is [2, size - 2).
    pads = [(0, whole - 2 - (2 * length - 1)) for whole, length in zip(size, (height, width), strict=True)]
    out = jax.lax.conv_general_dilated(
        planes,
        kernel,
        (1, 1),
        pads,
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return out.reshape(n, channels, *out.shape[1:3]).transpose(0, 2, 3, 1)
