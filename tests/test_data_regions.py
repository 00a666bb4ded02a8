"""The regions of a frame that are stored."""

import numpy as np
import pytest

from pim_jax.data import regions


@pytest.mark.parametrize(("height", "width", "crop", "margin"), [(24, 40, 8, 5), (8, 9, 8, 5), (30, 20, 8, 0)])
def test_a_window_of_a_region_is_equally_likely_everywhere_in_the_frame(height, width, crop, margin):
    rng, draws = np.random.default_rng(0), 20_000
    places = np.zeros((height - crop + 1, width - crop + 1))
    for _ in range(draws):
        region = regions.choose(height, width, crop, margin, rng)
        assert crop <= region.height <= min(height, crop + margin) and region.top + region.height <= height
        assert crop <= region.width <= min(width, crop + margin) and region.left + region.width <= width
        down, right = rng.integers(region.height - crop + 1), rng.integers(region.width - crop + 1)
        places[region.top + down, region.left + right] += 1
    expected = draws / places.size
    excess = ((places - expected) ** 2 / expected).sum() - (places.size - 1)  # of chi squared over its mean
    assert abs(excess) < 4 * np.sqrt(2 * (places.size - 1)) or places.size == 1


def test_a_margin_as_large_as_the_frame_stores_all_of_it():
    assert regions.choose(24, 40, 8, 32, np.random.default_rng(0)) == (0, 0, 24, 40)


def test_a_region_is_cut_from_all_frames():
    y, x = np.mgrid[:24, :40]
    frames = np.stack([np.stack([y, x], -1)] * 2)
    cut = regions.cut(frames, regions.Region(3, 5, 10, 12))
    assert cut.shape == (2, 10, 12, 2)
    assert (cut[:, 0, 0] == [3, 5]).all() and (cut[:, -1, -1] == [12, 16]).all()
