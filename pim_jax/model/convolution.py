"""Stride-1 convolution of feature maps with square odd kernels: the one place where PIM spends its time.

On CPU, 5x5 kernels between wide layers go through Toom-Cook minimal filtering F(4x4, 5x5): 64 products for 16 outputs
instead of 400, done as 64 matrix products, strip by strip. Its rounding error is about 1e-5 of the largest output;
what it gains depends on the machine (`benchmarks/convolution.py`). XLA takes half a second to compile it, so small
inputs, whose convolution takes less than that, keep to XLA's. Other backends use their own convolution.

Under `jax.default_matmul_precision("bfloat16")` maps and kernels are rounded to bfloat16, sums are not, and the result
is rounded again: what tensor cores and matrix units do fastest. CPUs round too, so that all devices give the same.
"""

import jax
import jax.numpy as jnp
import numpy as np

_TILE = 4
_SUPPORT = 5
_WORTH_COMPILING = 10_000  # positions of the input
_WORTH_TRANSFORMING = 16  # channels: the products that are saved grow with their number, the transforms do not
_TILES_AT_ONCE = 128
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity: the customary choice, small and with exact reciprocals

PRECISIONS = ("default", "high", "highest", "bfloat16")  # what `jax.default_matmul_precision` may be here

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Cross-correlates feature maps with a kernel, with stride 1 and explicit zero padding.

    Args:
      x: [N, H, W, C] float.
      kernel: [n, n, C, K] float.
      padding: rows before and after, columns before and after.

    Returns:
      [N, H', W', K], H' = H + padding - n + 1.

    Example:
      >>> convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((5, 5, 2, 3)), ((2, 2), (2, 2))).shape
      (1, 8, 8, 3)
    """
    positions = x.shape[0] * x.shape[1] * x.shape[2]
    wide = min(kernel.shape[2:]) >= _WORTH_TRANSFORMING
    large = kernel.shape[:2] == (_SUPPORT, _SUPPORT) and wide and positions >= _WORTH_COMPILING
    cpu, default = (_minimal if large else _direct)(padding), _direct(padding)
    if jax.config.jax_default_matmul_precision == "bfloat16":
        cpu, default = _rounded(cpu), _in_bfloat16(default)
    elif not large:
        return default(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def _rounded(function):
    """`_in_bfloat16` in float32. XLA would take conversions there and back for a waste of time, and remove them."""

    def convolve(x, kernel):
        x, kernel = (jax.lax.reduce_precision(array, 8, 7) for array in (x, kernel))
        return jax.lax.reduce_precision(function(x, kernel), 8, 7)

    return convolve


def _in_bfloat16(function):
    def convolve(x, kernel):
        return function(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)).astype(x.dtype)

    return convolve


def _direct(padding: Padding):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return convolve


def _minimal(padding: Padding):
    def convolve(x, kernel):
        n, height, width, _ = x.shape
        out = [length + sum(pad) - _SUPPORT + 1 for length, pad in zip((height, width), padding, strict=True)]
        tiles = [-(-length // _TILE) for length in out]
        # Strips of whole rows of tiles, one after the other, so that what is in work stays in the cache.
        high = _TILE * min(tiles[0], max(1, _TILES_AT_ONCE // (n * tiles[1])))
        count = -(-_TILE * tiles[0] // high)
        (top, _), (left, _) = padding
        bottom, right = count * high + _TILE - height - top, _TILE * (tiles[1] + 1) - width - left
        x = jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        taps = kernel.reshape(-1, *kernel.shape[2:])
        weights = jnp.einsum("pt,tck->pck", jnp.asarray(np.kron(_KERNEL, _KERNEL), kernel.dtype), taps)

        def strip(row):
            return _strip(jax.lax.dynamic_slice_in_dim(x, row, high + _TILE, axis=1), weights)

        y = jax.lax.map(strip, high * jnp.arange(count))
        return y.swapaxes(0, 1).reshape(n, count * high, -1, kernel.shape[-1])[:, : out[0], : out[1]]

    return convolve


@jax.checkpoint  # the transforms are large and quick to repeat
def _strip(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Filters rows of tiles: [n, 4 r + 4, 4 t + 4, C] by transformed kernels [64, C, K] -> [n, 4 r, 4 t, K].

    Tiles of 8 overlap by 4: each is a block of 4 rows and the next, and a block of 4 columns and the next. A barrier
    keeps XLA from computing one transform again for every value of the next.
    """
    n, channels = x.shape[0], x.shape[-1]
    rows, columns = (length // _TILE - 1 for length in x.shape[1:3])
    blocks = x.reshape(n, rows + 1, _TILE, -1, channels)
    x = _transform(_INPUT, [part[:, :, i] for part in (blocks[:, :-1], blocks[:, 1:]) for i in range(_TILE)], 0)
    blocks = x.reshape(-1, n, rows, columns + 1, _TILE, channels)
    x = _transform(
        _INPUT, [part[..., i, :] for part in (blocks[..., :-1, :, :], blocks[..., 1:, :, :]) for i in range(_TILE)], 1
    )
    y = jnp.einsum("ptc,pck->ptk", x.reshape(len(weights), -1, channels), weights)
    y = y.reshape(len(_INPUT), len(_INPUT), n, rows, columns, -1)
    y = _transform(_OUTPUT, [y[:, i] for i in range(len(_INPUT))], 4)
    y = _transform(_OUTPUT, list(y), 2)
    return y.reshape(n, _TILE * rows, _TILE * columns, -1)


def _transform(matrix: np.ndarray, parts: list[jax.Array], axis: int) -> jax.Array:
    """Products of a small matrix with a vector of arrays, stacked."""
    sums = [sum(float(weight) * part for weight, part in zip(row, parts, strict=True) if weight) for row in matrix]
    return jax.lax.optimization_barrier(jnp.stack(sums, axis))


def _toom_cook() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of F(4, 5): filter(d, g) = output @ ((kernel @ g) * (input @ d)), 4 outputs from 8 inputs.

    They transpose polynomial multiplication by evaluation and interpolation (Winograd 1980; Lavin & Gray 2016).
    """
    size = _TILE + _SUPPORT - 1

    def evaluate(length):
        at_infinity = np.eye(length)[-1:]
        return np.concatenate([np.vander(_POINTS, length, increasing=True), at_infinity])

    kernel, input_ = evaluate(_SUPPORT), np.linalg.inv(evaluate(size)).T
    # Equal magnitudes on both sides of each product: less rounding.
    balance = np.sqrt(np.abs(input_).max(1) / np.abs(kernel).max(1))[:, None]
    return evaluate(_TILE).T, kernel * balance, input_ / balance


_OUTPUT, _KERNEL, _INPUT = _toom_cook()
