"""Stride-1 convolution of feature maps with square odd kernels: the one place where PIM spends its time.

On CPU, 5x5 kernels go through Toom-Cook minimal filtering F(4x4, 5x5): 64 products for 16 outputs instead of 400, done
as 64 matrix products. Its rounding error is about 1e-5 of the largest output; on two cores it is several times faster
than XLA's convolution, and more so in the backward pass (`benchmarks/convolution.py`). XLA takes half a second to
compile it, so small inputs, whose convolution takes less than that, keep to XLA's. Other backends use their own
convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np

_TILE = 4
_SUPPORT = 5
_WORTH_COMPILING = 10_000  # positions of the input
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity: the customary choice, small and with exact reciprocals

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
    if kernel.shape[:2] == (_SUPPORT, _SUPPORT) and positions >= _WORTH_COMPILING:
        return jax.lax.platform_dependent(x, kernel, cpu=_minimal(padding), default=_direct(padding))
    return _direct(padding)(x, kernel)


def _direct(padding: Padding):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return convolve


def _minimal(padding: Padding):
    def convolve(x, kernel):
        n, height, width, channels = x.shape
        out = [length + sum(pad) - _SUPPORT + 1 for length, pad in zip((height, width), padding, strict=True)]
        tiles = [-(-length // _TILE) for length in out]
        rows, columns = (
            (before, _TILE * (count + 1) - length - before)
            for (before, _), count, length in zip(padding, tiles, (height, width), strict=True)
        )
        # Tiles of 8 overlap by 4: blocks of 4, each joined with the next.
        x = jnp.pad(x, ((0, 0), rows, columns, (0, 0)))
        x = x.reshape(n, tiles[0] + 1, _TILE, tiles[1] + 1, _TILE, channels)
        x = jnp.concatenate([x[:, :-1], x[:, 1:]], 2)
        x = jnp.concatenate([x[:, :, :, :-1], x[:, :, :, 1:]], 4)
        x = x.transpose(2, 4, 0, 1, 3, 5).reshape(_INPUT.shape[1], -1)
        x = (_INPUT.astype(x.dtype) @ x).reshape(len(_INPUT), -1, channels)
        weights = jnp.einsum("pt,tck->pck", _KERNEL.astype(kernel.dtype), kernel.reshape(-1, *kernel.shape[2:]))
        y = jnp.einsum("ptc,pck->ptk", x, weights).reshape(len(_INPUT), -1)
        y = (_OUTPUT.astype(y.dtype) @ y).reshape(_TILE, _TILE, n, *tiles, -1)
        y = y.transpose(2, 3, 0, 4, 1, 5).reshape(n, _TILE * tiles[0], _TILE * tiles[1], -1)
        return y[:, : out[0], : out[1]]

    return convolve


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


_OUTPUT, _KERNEL, _INPUT = (np.kron(matrix, matrix).astype(np.float32) for matrix in _toom_cook())
