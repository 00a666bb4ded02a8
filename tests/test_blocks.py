"""Blocks hold every sample, and give it back."""

import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.model.blocks import fold, unfold


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_block_holds_its_samples_row_by_row(side):
    band = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    found = np.asarray(fold(jnp.asarray(band), side))
    padded = np.pad(band, ((0, 0), (0, -7 % side), (0, -8 % side), (0, 0)))
    for row, column in np.ndindex(found.shape[1:3]):
        block = padded[:, side * row : side * (row + 1), side * column : side * (column + 1)]
        np.testing.assert_array_equal(found[:, row, column], block.reshape(2, -1))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_unfolded_blocks_are_the_band_and_what_filled_it(side):
    band = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    found = unfold(fold(jnp.asarray(band), side), side)
    np.testing.assert_array_equal(found, np.pad(band, ((0, 0), (0, -7 % side), (0, -8 % side), (0, 0))))
