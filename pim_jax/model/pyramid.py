"""Multi-scale transforms without parameters: image -> bands, coarse to fine (paper, section 2.4).

An image is [N, H, W, C]; every colour channel is filtered alone, in float32 whatever the precision of matrix products;
a band is [N, h, w, C]. Bands come in the order of the released TensorFlow model: lowpass first, highpass last,
orientations in reverse within a scale.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.model import filters

KINDS = ("steerable", "laplacian", "none")

_WORTH_COMPILING = 50_000  # positions of the image: the loops that are fast on CPU take XLA a second to compile


class Grid(NamedTuple):
    """Where the samples of a band lie: sample i is at image coordinate `stride * i + offset`, in both directions."""

    stride: int
    offset: float


def steerable(image: jax.Array, *, scales: int, orientations: int) -> list[jax.Array]:
    """Steerable pyramid: lowpass, then `scales` x `orientations` bandpass bands, then highpass.

    Args:
      image: [N, H, W, C] float.
      scales: bandpass scales.
      orientations: oriented bands per scale: 1, 2, 4 or 6.

    Returns:
      `scales * orientations + 2` bands; those of scale s have ceil(H / 2^s) rows, the lowpass ceil(H / 2^scales).

    References:
      Simoncelli & Freeman, ICIP 1995. Zero padding, as in the released model.

    Example:
      >>> [band.shape[1] for band in steerable(jnp.zeros((1, 64, 64, 3)), scales=3, orientations=2)]
      [8, 16, 16, 32, 32, 64, 64, 64]
    """
    taps = filters.steerable(orientations)
    low = _filter(image, taps.lowpass0)[0]
    fine_to_coarse = _filter(image, taps.highpass0)
    for _ in range(scales):
        fine_to_coarse += _filter(low, taps.oriented)
        low = _filter(low, taps.lowpass, stride=2)[0]
    return [low, *fine_to_coarse[::-1]]


def laplacian(image: jax.Array, *, scales: int, residual: bool) -> list[jax.Array]:
    """Laplacian pyramid of the released code: unpadded, so that bands lose their borders.

    Args:
      image: [N, H, W, C] float.
      scales: number of bands.
      residual: the coarsest band is the lowpass image itself, not one more difference.

    Returns:
      `scales` bands, coarsest first.

    References:
      Burt & Adelson, IEEE Trans. Communications 1983; paper, section 3.4.

    Example:
      >>> [band.shape[1] for band in laplacian(jnp.zeros((1, 64, 64, 3)), scales=3, residual=True)]
      [15, 27, 60]
    """
    taps = filters.binomial()
    fine_to_coarse = []
    for scale in range(scales):
        if residual and scale == scales - 1:
            fine_to_coarse.append(image)
            break
        low = _filter(image, taps, stride=2, padding=0)[0]
        fine_to_coarse.append(image[:, 2:-2, 2:-2] - _expand(low, taps, image.shape))
        image = low
    return fine_to_coarse[::-1]


@functools.partial(jax.jit, static_argnames=("kind", "scales", "orientations", "laplacian_residual"))
def transform(
    image: jax.Array, *, kind: str, scales: int, orientations: int, laplacian_residual: bool
) -> list[jax.Array]:
    """Applies the pyramid `kind`, one of `KINDS`; "none" gives the image as its only band.

    Jitted, so that its hundreds of operations are traced once for each shape, however often a program has them.
    """
    if kind == "steerable":
        return steerable(image, scales=scales, orientations=orientations)
    if kind == "laplacian":
        return laplacian(image, scales=scales, residual=laplacian_residual)
    return [image]


def grids(*, kind: str, scales: int, orientations: int, laplacian_residual: bool) -> tuple[Grid, ...]:
    """Returns the sampling grid of each band, in the order of `transform`.

    Example:
      >>> grids(kind="laplacian", scales=3, orientations=2, laplacian_residual=True)
      (Grid(stride=4, offset=3), Grid(stride=2, offset=5), Grid(stride=1, offset=2))
    """
    if kind == "steerable":
        bandpass = [Grid(2**scale, 0) for scale in range(scales) for _ in range(orientations)]
        return (Grid(2**scales, 0), *reversed(bandpass), Grid(1, 0))
    if kind == "laplacian":
        # An unpadded 3-tap filter puts low sample i at 2 i + 1; a difference band has lost two samples at its start.
        bands = [Grid(2**scale, 3 * 2**scale - 1) for scale in range(scales)]
        if laplacian_residual:
            bands[-1] = Grid(2 ** (scales - 1), 2 ** (scales - 1) - 1)
        return tuple(reversed(bands))
    return (Grid(1, 0),)


def sizes(
    size: tuple[int, int], *, kind: str, scales: int, orientations: int, laplacian_residual: bool
) -> list[tuple[int, int]]:
    """Returns the height and width of each band of an image of `size`, in the order of `transform`.

    Example:
      >>> sizes((60, 64), kind="steerable", scales=2, orientations=1, laplacian_residual=True)
      [(15, 16), (30, 32), (60, 64), (60, 64)]
    """
    if kind != "laplacian":
        strides = [
            grid.stride
            for grid in grids(
                kind=kind, scales=scales, orientations=orientations, laplacian_residual=laplacian_residual
            )
        ]
        return [tuple(-(-length // stride) for length in size) for stride in strides]
    lows = [size]
    for _ in range(scales):
        lows.append(tuple((length - 1) // 2 for length in lows[-1]))
    bands = [tuple(length - 4 for length in low) for low in lows[:scales]]
    if laplacian_residual:
        bands[-1] = lows[scales - 1]
    return bands[::-1]


def period(*, kind: str, scales: int) -> int:
    """Returns the pixels by which an image can be shifted so that every band shifts by whole samples.

    A Laplacian band holds its difference from a band at half its rate, so the period can be twice the coarsest stride.

    Example:
      >>> period(kind="steerable", scales=3)
      8
    """
    return 1 if kind == "none" else 2**scales


def reach(*, kind: str, scales: int, orientations: int, laplacian_residual: bool) -> list[int]:
    """Returns, for each band, how many pixels around sample i's place `stride * i` its value may depend on.

    Example:
      >>> reach(kind="steerable", scales=1, orientations=2, laplacian_residual=True)
      [12, 8, 8, 4]
    """
    if kind == "steerable":
        taps = filters.steerable(orientations)
        first, lowpass, oriented, highpass = (
            len(getattr(taps, name)) // 2 for name in ("lowpass0", "lowpass", "oriented", "highpass0")
        )
        to_scale = [first + lowpass * (2**scale - 1) for scale in range(scales + 1)]
        bandpass = [to_scale[scale] + oriented * 2**scale for scale in range(scales) for _ in range(orientations)]
        return [to_scale[scales], *reversed(bandpass), highpass]
    # Three taps at each scale, on samples up to three strides after `stride * i`, and the neighbours for expansion.
    strides = (
        grid.stride
        for grid in grids(kind=kind, scales=scales, orientations=orientations, laplacian_residual=laplacian_residual)
    )
    return [8 * stride for stride in strides]


def smallest_size(*, kind: str, scales: int, laplacian_residual: bool) -> int:
    """Returns the least height and width at which every band has a sample of its own scale.

    Example:
      >>> smallest_size(kind="steerable", scales=3, laplacian_residual=True)
      8
    """
    if kind == "steerable":
        return 2**scales
    if kind == "laplacian":
        differences = scales - laplacian_residual
        return 6 * 2 ** (differences - 1) - 1 if differences else 1
    return 1


def _filter(image: jax.Array, taps: np.ndarray, *, stride: int = 1, padding: int | None = None) -> list[jax.Array]:
    """Correlates every channel of [N, H, W, C] with each of [n, n] or [n, n, filters] taps; a list of [N, h, w, C]."""
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
    """Adds the image up, shifted and weighted, by one row of taps after the other.

    XLA's convolutions of single planes are several times slower on CPU; so is one sum of all shifts, which also takes
    it seconds to compile.
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
    """As one convolution; channels join the batch, since grouped convolutions and their gradients are far slower."""
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


def _expand(low: jax.Array, taps: np.ndarray, shape: tuple[int, ...]) -> jax.Array:
    """Upsamples by two and smooths: the transpose of the decimating filter, cut to the middle of `shape`."""
    n, height, width, channels = low.shape
    planes = low.transpose(0, 3, 1, 2).reshape(n * channels, height, width, 1)
    kernel = jnp.asarray(4 * taps[:, :, None, None], low.dtype)
    # Low sample i sits at 2 i + 1; the wanted span is [2, size - 2).
    pads = [(0, size - 2 - (2 * length - 1)) for size, length in zip(shape[1:3], (height, width), strict=True)]
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
