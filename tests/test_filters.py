"""The taps are those of a steerable pyramid."""

import numpy as np
import pytest

from pim_jax.model import filters


@pytest.mark.parametrize("orientations", filters.ORIENTATIONS)
def test_gains_at_zero_frequency(orientations):
    taps = filters.steerable(orientations)
    assert taps.lowpass0.sum() == pytest.approx(1, abs=1e-3)
    assert taps.lowpass.sum() == pytest.approx(2, abs=1e-3)
    assert taps.highpass0.sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(taps.oriented.sum((0, 1)), 0, atol=2e-6)


@pytest.mark.parametrize("orientations", filters.ORIENTATIONS)
def test_filters_are_odd_sized_and_isotropic_ones_symmetric(orientations):
    taps = filters.steerable(orientations)
    assert taps.oriented.shape[-1] == orientations
    for tap in taps:
        assert tap.shape[0] == tap.shape[1] and tap.shape[0] % 2 == 1
    for tap in taps[:3]:
        np.testing.assert_array_equal(tap, tap.T)
        np.testing.assert_array_equal(tap, tap[::-1])


def test_two_orientations_are_transposes_of_each_other():
    vertical, horizontal = np.moveaxis(filters.steerable(2).oriented, -1, 0)
    np.testing.assert_allclose(np.abs(vertical), np.abs(horizontal.T), atol=1e-6)


def test_other_numbers_of_orientations_are_an_error():
    with pytest.raises(ValueError, match="1, 2, 4 or 6 orientations, not 3"):
        filters.steerable(3)
