"""Stride-1 convolution of feature maps with square odd kernels. This is where PIM spends its time.

On CPU, 5x5 kernels between wide layers go through Toom-Cook minimal filtering F(4x4, 5x5). It needs 64 products for 16
outputs instead of 400, and does them as 64 matrix products, strip by strip. Its rounding error is about 1e-5 of the
largest output. What it gains depends on the machine (`benchmarks/convolution.py`). XLA takes half a second to compile
it. So small inputs keep to XLA's convolution, which takes less than that. Other backends use their own convolution.

Under `jax.default_matmul_precision("bfloat16")` operands are rounded to bfloat16, and sums are float32. Tensor cores
and matrix units do that fastest. CPUs round too, so all devices give the same. There are only reverse-mode gradients
then, and they are bfloat16.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

_TILE = 4
_SUPPORT = 5
_WORTH_COMPILING = 10_000  # positions of the input
_WORTH_TRANSFORMING = 16  # channels: the more there are, the more products the transforms save
_TILES_AT_ONCE = 128
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity: the usual choice, small and with exact reciprocals

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

    Examples:
      >>> convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((5, 5, 2, 3)), ((2, 2), (2, 2))).shape
      (1, 8, 8, 3)
    """
    if jax.config.jax_default_matmul_precision == "bfloat16":
        return _in_bfloat16(x, kernel, padding)
    return jax.lax.platform_dependent(x, kernel, cpu=_on_cpu(x, kernel, padding), default=_direct(padding))


def _is_large(x: jax.Array, kernel: jax.Array) -> bool:
    wide = min(kernel.shape[2:]) >= _WORTH_TRANSFORMING
    return kernel.shape[:2] == (_SUPPORT, _SUPPORT) and wide and math.prod(x.shape[:3]) >= _WORTH_COMPILING


def _on_cpu(x: jax.Array, kernel: jax.Array, padding: Padding):
    return _minimal(padding) if _is_large(x, kernel) else functools.partial(convolve_directly, padding=padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))  # JAX cannot transpose a product of bfloat16 that is float32
def _in_bfloat16(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    cpu = _on_cpu(x, kernel, padding)
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: cpu(_round(x), _round(kernel)),
        default=lambda x, kernel: _direct(padding, jnp.float32)(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)),
    )


def _forward(x, kernel, padding):
    return _in_bfloat16(x, kernel, padding), (x, kernel)


def _backward(padding, operands, cotangent):
    cpu = _on_cpu(*operands, padding)

    def rounded(*arrays):
        x, kernel, cotangent = map(_round, arrays)
        return tuple(map(_round, jax.vjp(cpu, x, kernel)[1](cotangent)))

    def in_bfloat16(*arrays):
        x, kernel, cotangent = (array.astype(jnp.bfloat16) for array in arrays)
        return tuple(g.astype(jnp.float32) for g in jax.vjp(_direct(padding), x, kernel)[1](cotangent))

    return jax.lax.platform_dependent(*operands, cotangent, cpu=rounded, default=in_bfloat16)


_in_bfloat16.defvjp(_forward, _backward)


def _round(array: jax.Array) -> jax.Array:
    """Rounds to bfloat16, and keeps float32. XLA would remove a conversion there and back."""
    return jax.lax.reduce_precision(array, 8, 7)


def convolve_directly(x: jax.Array, kernel: jax.Array, padding: Padding, *, precision: str | None = None) -> jax.Array:
    """`convolve` by XLA's own convolution, with gradients that are fast on CPU.

    Within a loop, such as that over regions, XLA has a fast convolution only for kernels in the order HWIO. The kernel
    of JAX's gradient for x is in the order HWOI, unless that of the derivative was. For the kernel, a matrix product is
    many times as fast as XLA's convolution of images with images.

    Args:
      x, kernel, padding: as for `convolve`.
      precision: of the products, that of `jax.default_matmul_precision` if None.

    Examples:
      >>> convolve_directly(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, 3)), ((1, 1), (0, 0))).shape
      (1, 8, 6, 3)
    """
    direct = _direct(padding, precision=precision)
    derivative = _direct(padding, kernel_layout="HWOI", precision=precision)
    convolve = jax.custom_jvp(direct)

    def jvp(primals, tangents):
        (x, kernel), (dx, dkernel) = primals, tangents
        parts = []
        if not isinstance(dx, SymbolicZero):
            parts.append(derivative(dx, kernel.swapaxes(2, 3)))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(_by_product(x, dkernel, padding, precision))
        return direct(x, kernel), sum(parts)

    convolve.defjvp(jvp, symbolic_zeros=True)
    return convolve(x, kernel)


@functools.partial(jax.checkpoint, static_argnums=(2, 3))  # keeps x, and not all of its shifts
def _by_product(x: jax.Array, kernel: jax.Array, padding: Padding, precision: str | None) -> jax.Array:
    """The convolution as one matrix product, of x shifted by columns. The product is shifted by rows and added up.

    So the gradient for the kernel is one product too, of x shifted by columns and the cotangent shifted by rows.
    """
    x, support = jnp.pad(x, ((0, 0), *padding, (0, 0))), len(kernel)
    rows, columns = (length - support + 1 for length in x.shape[1:3])
    x = jnp.concatenate([x[:, :, j : j + columns] for j in range(support)], -1)
    # [rows and units, columns and channels]. The other way round, XLA copies the cotangent into a slow order.
    weights = kernel.transpose(0, 3, 1, 2).reshape(-1, x.shape[-1])
    parts = jnp.split(jax.lax.dot_general(x, weights, (((3,), (1,)), ((), ())), precision=precision), support, -1)
    return sum(part[:, i : i + rows] for i, part in enumerate(parts))


def _direct(padding: Padding, sums: jnp.dtype | None = None, kernel_layout: str = "HWIO", precision: str | None = None):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            padding,
            dimension_numbers=("NHWC", kernel_layout, "NHWC"),
            precision=precision,
            preferred_element_type=sums,
        )

    return convolve


def _minimal(padding: Padding):
    def convolve(x, kernel):
        n, height, width, _ = x.shape
        out = [length + sum(pad) - _SUPPORT + 1 for length, pad in zip((height, width), padding, strict=True)]
        tiles = [-(-length // _TILE) for length in out]
        # Strips of whole rows of tiles, one after the other, so that the strip in work stays in the cache.
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


@jax.jit  # traced and differentiated once for all layers of a size
@jax.checkpoint  # the transforms are large and quick to repeat
def _strip(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Filters rows of tiles: [n, 4 r + 4, 4 t + 4, C] by transformed kernels [64, C, K] -> [n, 4 r, 4 t, K].

    Tiles of 8 overlap by 4. Each is a block of 4 rows and the next block, and a block of 4 columns and the next. A
    barrier keeps XLA from computing one transform again for every value of the following one.
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
    """Multiplies a small matrix with a vector of arrays, and stacks the products."""
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
    # Equal magnitudes on both sides of each product make less rounding.
    balance = np.sqrt(np.abs(input_).max(1) / np.abs(kernel).max(1))[:, None]
    return evaluate(_TILE).T, kernel * balance, input_ / balance


_OUTPUT, _KERNEL, _INPUT = _toom_cook()
