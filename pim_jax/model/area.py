"""Resizing by area, which keeps the mean. So the maps of coarse bands are spread over the pixels.

The mean of a spread map under a mask of the pixels needs no map of that size. Spreading is linear, and its transpose
resizes the mask to the band by area too: mean(mask * spread(map)) = mean(spread(mask) * map).
"""

import jax
import jax.numpy as jnp
import numpy as np


def spread(band_map: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes [N, h, w] to [N, *size] by area, which keeps the mean.

    Examples:
      >>> spread(jnp.array([[[0.0, 1.0]]]), (1, 4)).tolist()
      [[[0.0, 0.0, 1.0, 1.0]]]
    """
    rows, columns = (
        jnp.asarray(_area_weights(have, want)) for have, want in zip(band_map.shape[1:], size, strict=True)
    )
    return jnp.einsum("Hh,nhw,Ww->nHW", rows, band_map, columns, precision="highest")


def masked(mean: jax.Array, mask: jax.Array) -> jax.Array:
    """What a mean of values times a mask is for each unit of the mask: the mean of the values under the mask.

    Args:
      mean: [N], over all positions, of values times the mask.
      mask: [N, H, W] in [0, 1]; here and there N may be 1.

    Returns:
      [N]; 0 where the mask is 0 everywhere. There the gradient is 0 too.

    Examples:
      >>> mask = jnp.array([[[0.0, 1.0]], [[0.0, 0.0]]])
      >>> masked((mask * jnp.array([[[3.0, 5.0]]])).mean((1, 2)), mask).tolist()
      [5.0, 0.0]
    """
    share = mask.mean((1, 2))
    return jnp.where(share > 0, mean / jnp.where(share > 0, share, 1), 0)


def _area_weights(have: int, want: int) -> np.ndarray:
    """Returns [want, have]: which share of each of `want` equal cells each of `have` equal cells covers.

    Both divide the same span.
    """
    edges = np.arange(want + 1) * (have / want)
    cells = np.arange(have)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return (np.maximum(overlap, 0) * (want / have)).astype(np.float32)
