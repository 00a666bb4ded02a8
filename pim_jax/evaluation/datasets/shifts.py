"""Shifted references (section 3.2 and Table 3): people hardly notice a few pixels, and a metric should not either."""

from collections.abc import Sequence
from pathlib import Path

from pim_jax.evaluation.corruptions import Change
from pim_jax.evaluation.pictures import Picture


def with_unshifted(shifts: Sequence[int]) -> tuple[int, ...]:
    """The shifts to measure: no shift, which the others are compared with, and then those given.

    Args:
      shifts: whole numbers of pixels.

    Raises:
      ValueError: one of them is not a whole number of pixels, or below 0.

    Examples:
      >>> with_unshifted([2, 4])
      (0, 2, 4)
    """
    if wrong := [shift for shift in shifts if shift < 0 or shift != int(shift)]:
        raise ValueError(f"a shift is a whole number of pixels, 0 or more, not {wrong[0]}")
    return tuple(dict.fromkeys((0, *shifts)))


def picture(path: Path, shift: int, side: int | None = None) -> Picture:
    """A picture, resized to `side` pixels a side if given, and shifted by so many pixels."""
    return Picture(path, Change("shift", shift) if shift else None, side)
