"""Linear filters on images: the arithmetic of the pyramids.

Every colour channel is filtered alone, in float32. The precision is "highest", whatever that of other matrix products.

Convolutions of single planes are slow. So a plane is cut into blocks, and the samples of a block become channels. A
filter is then a convolution of blocks with few taps and many channels. It computes blocks of its output. Half of its
products are with zeros. It takes a quarter of the time all the same, and compiles as fast as any convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.model.blocks import fold, unfold
from pim_jax.model.convolution import convolve_directly

_SIDE = 4  # of the blocks of the output


def correlate(image: jax.Array, taps: np.ndarray, *, stride: int = 1, padding: int | None = None) -> list[jax.Array]:
    """Correlates every channel with each filter.

    Args:
      image: [N, H, W, C] float.
      taps: [n, n] or [n, n, filters].
      stride: of the output, in both directions.
      padding: zeros on each side, `n // 2` if None.

    Returns:
      [N, h, w, C] for each filter, h = (H + 2 padding - n) // stride + 1.

    Examples:
      >>> [band.shape for band in correlate(jnp.ones((1, 8, 8, 3)), np.ones((3, 3, 2)), stride=2)]
      [(1, 4, 4, 3), (1, 4, 4, 3)]
    """
    n, *lengths, channels = image.shape
    padding = len(taps) // 2 if padding is None else padding
    step = _SIDE * stride
    # Whole blocks of padding, which the convolution adds: XLA's is several times slower on CPU where it adds none.
    before = max(1, -(-padding // step))
    kernel = _kernel(taps.reshape(*taps.shape[:2], -1), stride, before * step - padding)
    # Colours join the batch, because grouped convolutions and their gradients are far slower.
    blocks = fold(image.transpose(0, 3, 1, 2).reshape(n * channels, *lengths, 1), step)
    sizes = [(length + 2 * padding - len(taps)) // stride + 1 for length in lengths]
    wanted = [-(-size // _SIDE) + len(kernel) - 1 - before for size in sizes]
    ends = tuple((before, max(1, want - have)) for want, have in zip(wanted, blocks.shape[1:3], strict=True))
    blocks = convolve_directly(blocks, jnp.asarray(kernel, image.dtype), ends, precision="highest")
    bands = unfold(blocks, _SIDE)[:, : sizes[0], : sizes[1]]
    return list(bands.reshape(n, channels, *sizes, -1).transpose(4, 0, 2, 3, 1))


def _kernel(taps: np.ndarray, stride: int, offset: int) -> np.ndarray:
    """The filters [n, n, filters] as a kernel from blocks of the image to blocks of the output, [r, r, before, after].

    Blocks of the image have `_SIDE * stride` samples a side. The kernel sees r x r of them, and the filters begin
    `offset` samples further on.
    """
    size, step = len(taps), _SIDE * stride
    reach = -(-(offset + (_SIDE - 1) * stride + size) // step)
    kernel = np.zeros((reach * step, reach * step, _SIDE, _SIDE, taps.shape[-1]), taps.dtype)
    for row, column in np.ndindex(_SIDE, _SIDE):
        rows, columns = (slice(offset + stride * place, offset + stride * place + size) for place in (row, column))
        kernel[rows, columns, row, column] = taps
    return kernel.reshape(reach, step, reach, step, -1).swapaxes(1, 2).reshape(reach, reach, step**2, -1)


def expand(low: jax.Array, taps: np.ndarray, size: tuple[int, int]) -> jax.Array:
    """Doubles the rate and smooths. This is the transpose of `correlate(image, taps, stride=2, padding=0)`, times 4.

    Args:
      low: [N, h, w, C]. Sample i lies at sample 2 i + 1 of the image.
      taps: [3, 3].
      size: height and width of the image that `low` was made from.

    Returns:
      [N, height - 4, width - 4, C]: the image without two samples at every border.

    Examples:
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
