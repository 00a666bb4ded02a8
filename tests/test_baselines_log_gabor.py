"""Log-Gabor filters let pass what is near one wavelength, and no mean."""

import numpy as np
import pytest

from pim_jax.baselines import log_gabor


@pytest.mark.parametrize("size", [(6, 8), (16, 2)])
def test_even_sides_have_the_frequencies_of_the_fourier_transform(size):
    down, right = log_gabor.frequencies(*size)
    np.testing.assert_array_equal(down, np.broadcast_to(np.fft.fftfreq(size[0])[:, None], size))
    np.testing.assert_array_equal(right, np.broadcast_to(np.fft.fftfreq(size[1]), size))


def test_odd_sides_reach_half_a_cycle():
    down, right = log_gabor.frequencies(5, 7)
    assert (down.min(), down.max(), right.min(), right.max()) == (-0.5, 0.5, -0.5, 0.5)
    assert down[0, 0] == right[0, 0] == 0


def test_passing_is_symmetric_in_the_logarithm():
    passing = log_gabor.radial(np.array([0.0, 0.05, 0.1, 0.2]), 0.1, 0.7)
    np.testing.assert_allclose(passing, [0, np.exp(-(np.log(2) ** 2) / 0.98), 1, np.exp(-(np.log(2) ** 2) / 0.98)])
