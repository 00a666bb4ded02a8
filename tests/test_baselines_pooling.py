"""Pictures become smaller by the means of blocks, as many as fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from pim_jax.baselines import pooling


@pytest.mark.parametrize(
    ("size", "side"),
    [((8, 8), 1), ((383, 900), 1), ((384, 512), 2), ((640, 800), 2), ((641, 800), 3), ((2160, 3840), 8)],
)
def test_blocks_grow_with_the_smaller_side(size, side):
    assert pooling.viewed_side(size) == pooling.viewed_side(size[::-1]) == side


@pytest.mark.parametrize(("padding", "mode"), [((0, 0), "constant"), ((1, 1), "constant"), ((1, 0), "edge")])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_blocks_are_averaged_and_what_fills_none_is_left_out(side, padding, mode):
    picture = np.random.default_rng(0).uniform(0, 1, (2, 7, 8))
    wide = np.pad(picture, ((0, 0), padding, padding), mode=mode)
    rows, columns = (length // side for length in wide.shape[1:])
    expected = [
        [wide[:, side * i : side * i + side, side * j : side * j + side].mean((1, 2)) for j in range(columns)]
        for i in range(rows)
    ]
    found = pooling.pooled(jnp.asarray(picture, jnp.float32), side, padding, mode=mode)
    np.testing.assert_allclose(found, np.moveaxis(expected, 2, 0), rtol=1e-5)
