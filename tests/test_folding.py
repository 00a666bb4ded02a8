"""Folding keeps every sample, and says where the blocks lie."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model.folding import Folded
from pim_jax.model.identity import Identity
from pim_jax.model.laplacian import Laplacian
from pim_jax.model.steerable import Steerable

KINDS = [
    Folded(Steerable(scales=2, orientations=1), (1, 2)),
    Folded(Laplacian(scales=3, laplacian_residual=True), (2, 1, 3)),
    Folded(Laplacian(scales=2, laplacian_residual=False), (4,)),
    Folded(Identity(), (2,)),
]
of_every_kind = pytest.mark.parametrize("folded", KINDS, ids=str)


@of_every_kind
@pytest.mark.parametrize("size", [(40, 47), (41, 64), (99, 42)], ids=str)
def test_sizes_are_known_beforehand(folded, size):
    bands = jax.eval_shape(folded.bands, jax.ShapeDtypeStruct((1, *size, 3), jnp.float32))
    assert folded.sizes(size) == [band.shape[1:3] for band in bands]
    assert [band.shape[3] for band in bands] == [3 * side**2 for side in folded.sides]
    assert folded.count == len(bands) == len(folded.receptive_fields)


@of_every_kind
def test_no_block_depends_on_pixels_out_of_reach(folded):
    at, size = 70, 141
    image = jax.random.uniform(jax.random.key(0), (1, size, size, 1))
    bands, changed = (jax.jit(folded.bands)(x) for x in (image, image.at[0, at, at].add(1.0)))
    for band, other, field in zip(bands, changed, folded.receptive_fields, strict=True):
        rows, columns, _ = np.nonzero(np.asarray(band != other)[0])
        places = field.stride * np.concatenate([rows, columns]) + field.offset
        assert len(rows) and np.abs(places - at).max() <= field.reach


@of_every_kind
def test_bands_shift_with_the_image_by_the_period(folded):
    period = folded.period
    image = jax.random.uniform(jax.random.key(0), (1, 140, 140, 1))
    bands, shifted = (jax.jit(folded.bands)(x) for x in (image, image[:, period:, period:]))
    for band, other, field in zip(bands, shifted, folded.receptive_fields, strict=True):
        by, margin = period // field.stride, math.ceil(field.farthest() / field.stride)
        inner = slice(margin, -margin or None)
        assert by * field.stride == period and other[:, inner, inner].size
        np.testing.assert_allclose(band[:, by:, by:][:, inner, inner], other[:, inner, inner], rtol=1e-6, atol=2e-6)
