"""Blocks of samples as channels (space to depth), and back."""

import jax
import jax.numpy as jnp


def fold(band: jax.Array, side: int) -> jax.Array:
    """Makes one sample of every block of `side` x `side` samples. Zeros fill the last blocks.

    Args:
      band: [N, h, w, C].
      side: of the blocks.

    Returns:
      [N, ceil(h / side), ceil(w / side), side * side * C]. The first row of a block comes first.

    Examples:
      >>> fold(jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1), 2).tolist()
      [[[[1.0, 2.0, 4.0, 5.0], [3.0, 0.0, 6.0, 0.0]]]]
    """
    if side == 1:
        return band
    n, height, width, channels = band.shape
    band = jnp.pad(band, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)))
    blocks = band.reshape(n, -(-height // side), side, -(-width // side), side * channels)
    return blocks.swapaxes(2, 3).reshape(n, blocks.shape[1], blocks.shape[3], -1)


def unfold(blocks: jax.Array, side: int) -> jax.Array:
    """Undoes `fold`, except for what filled the last blocks.

    Args:
      blocks: [N, h, w, side * side * C].
      side: of the blocks.

    Returns:
      [N, h * side, w * side, C].

    Examples:
      >>> unfold(fold(jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1), 2), 2)[0, ..., 0].tolist()
      [[1.0, 2.0, 3.0, 0.0], [4.0, 5.0, 6.0, 0.0]]
    """
    n, height, width, _ = blocks.shape
    rows = blocks.reshape(n, height, width, side, -1).swapaxes(2, 3)
    return rows.reshape(n, height * side, width * side, -1)
