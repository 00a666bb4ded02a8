"""Taps of the linear filters that the pyramids use. No arithmetic happens here.

The steerable taps are those of `pyrtools` (MIT, see NOTICE), sets sp0, sp1, sp3 and sp5, with 1, 2, 4 and 6
orientations.
"""

import functools
from importlib import resources
from typing import NamedTuple

import numpy as np

ORIENTATIONS = (1, 2, 4, 6)


class SteerableFilters(NamedTuple):
    """Float32 taps. Every side is odd, so each filter has a centre."""

    lowpass0: np.ndarray  # [n, n], applied once, before the recursion
    highpass0: np.ndarray  # [n, n], gives the highpass residual
    lowpass: np.ndarray  # [n, n], applied before each decimation; its sum is 2
    oriented: np.ndarray  # [n, n, orientations]


@functools.cache
def steerable(orientations: int) -> SteerableFilters:
    """Returns the taps of the steerable pyramid with that many orientations.

    Args:
      orientations: 1, 2, 4 or 6.

    Raises:
      ValueError: no published set of taps has that many orientations.

    References:
      Simoncelli & Freeman, "The Steerable Pyramid", ICIP 1995.

    Examples:
      >>> steerable(2).oriented.shape
      (9, 9, 2)
    """
    if orientations not in ORIENTATIONS:
        raise ValueError(f"a steerable pyramid has 1, 2, 4 or 6 orientations, not {orientations}")
    with resources.files(__package__).joinpath("steerable_taps.npz").open("rb") as file:
        taps = np.load(file)
        return SteerableFilters(*(taps[f"{orientations}/{name}"] for name in SteerableFilters._fields))


def binomial() -> np.ndarray:
    """Returns the 3x3 binomial lowpass [1 2 1]⊗[1 2 1]/16 of the Laplacian pyramid, float32, sum 1."""
    row = np.array([1, 2, 1], np.float32) / 4
    return row[:, None] * row
