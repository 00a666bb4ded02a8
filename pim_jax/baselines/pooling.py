"""How metrics make a picture smaller before they compare it. The distance to the eye is part of their definition."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

VIEWED = 256  # pixels: to about as many several metrics bring the smaller side


def viewed_side(size: Sequence[int]) -> int:
    """The side of the blocks of pixels that several metrics average first: about 1 for each 256 pixels.

    Args:
      size: of the picture, height and width in pixels.

    Returns:
      At least 1. Halves are rounded to the even number, as in piq; MATLAB, which authors use, rounds them up.

    Examples:
      >>> viewed_side((100, 900)), viewed_side((384, 512)), viewed_side((512, 768)), viewed_side((1080, 1920))
      (1, 2, 2, 4)
    """
    return max(1, round(min(size) / VIEWED))


def pooled(picture: jax.Array, side: int, padding: tuple[int, int] = (0, 0), *, mode: str = "constant") -> jax.Array:
    """The means of blocks of pixels. Rows and columns that fill no block are left out.

    Args:
      picture: [N, H, W].
      side: of the blocks, in pixels.
      padding: pixels before the first row and column, and after the last.
      mode: what they are, "constant" for zeros, or "edge".

    Returns:
      [N, h, w].

    Examples:
      >>> pooled(jnp.ones((1, 3, 4)), 2).tolist(), pooled(jnp.ones((1, 3, 4)), 2, (0, 1)).tolist()
      ([[[1.0, 1.0]]], [[[1.0, 1.0], [0.5, 0.5]]])
    """
    picture = jnp.pad(picture, ((0, 0), padding, padding), mode=mode)
    n, rows, columns = picture.shape[0], *(length // side for length in picture.shape[1:])
    blocks = picture[:, : rows * side, : columns * side].reshape(n, rows, side, columns, side)
    return blocks.mean((2, 4))


def halved(picture: jax.Array) -> jax.Array:
    """The means of 2 x 2 pixels. Zeros stand beside an odd last row or column.

    Args:
      picture: [N, H, W].

    Returns:
      [N, ceil(H / 2), ceil(W / 2)].

    Examples:
      >>> halved(jnp.ones((1, 2, 3))).tolist()
      [[[1.0, 0.5]]]
    """
    return pooled(picture, 2, (0, 1))
