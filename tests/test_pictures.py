"""A picture is its file, resized and changed as it says."""

import numpy as np
import pytest
from PIL import Image

from pim_jax.evaluation import corruptions, pictures
from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.pictures import Picture


@pytest.fixture
def file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_is_the_file_where_nothing_is_done(file):
    with Image.open(file) as image:
        np.testing.assert_array_equal(pictures.read(Picture(file)) * 255, np.asarray(image))
    assert str(Picture(file)) == str(file)


def test_is_resized_by_a_widened_bilinear_filter(file):
    """Halving: every pixel of the result weighs four of a row by 1, 3, 3 and 1 eighths (at the border three)."""
    small = pictures.read(Picture(file, side=64)) * 255
    weights = np.zeros((64, 128))
    for row in range(64):
        for offset, weight in zip(range(-1, 3), (1, 3, 3, 1), strict=True):
            if 0 <= 2 * row + offset < 128:
                weights[row, 2 * row + offset] = weight
    weights /= weights.sum(1, keepdims=True)
    exact = np.einsum("ij,jkc,lk->ilc", weights, pictures.read(Picture(file)) * 255, weights)
    assert np.abs(small - exact).max() <= 1  # rounded to 8 bits after each direction
    np.testing.assert_array_equal(small, small.round())


def test_one_that_has_the_size_is_left_as_it_is(file):
    np.testing.assert_array_equal(pictures.read(Picture(file, side=128)), pictures.read(Picture(file)))


def test_is_changed_after_it_is_resized(file):
    shift = Change("shift", 3)
    both = pictures.read(Picture(file, shift, 64))
    np.testing.assert_array_equal(both, corruptions.apply(pictures.read(Picture(file, side=64)), shift))
    assert Picture(file, shift, 64).treatment == "64x64, shift 3"


@pytest.mark.parametrize("side", [None, 32])
def test_tells_its_size_without_reading(file, side):
    assert pictures.size(Picture(file, side=side)) == pictures.read(Picture(file, side=side)).shape[:2]
