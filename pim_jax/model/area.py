"""Resizing by area, which keeps the mean. So the maps of coarse bands are spread over the pixels."""

import jax
import jax.numpy as jnp
import numpy as np


def spread(band_map: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes [N, h, w] to [N, *size] by area, which keeps the mean.

    Example:
      >>> spread(jnp.array([[[0.0, 1.0]]]), (1, 4)).tolist()
      [[[0.0, 0.0, 1.0, 1.0]]]
    """
    rows, columns = (
        jnp.asarray(_area_weights(have, want)) for have, want in zip(band_map.shape[1:], size, strict=True)
    )
    return jnp.einsum("Hh,nhw,Ww->nHW", rows, band_map, columns, precision="highest")


def _area_weights(have: int, want: int) -> np.ndarray:
    """Returns [want, have]: which share of each of `want` equal cells each of `have` equal cells covers.

    Both divide the same span.
    """
    edges = np.arange(want + 1) * (have / want)
    cells = np.arange(have)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return (np.maximum(overlap, 0) * (want / have)).astype(np.float32)
