"""Where the samples of a band lie on the image and how far they see: the arithmetic of windows over windows."""

from typing import NamedTuple


class ReceptiveField(NamedTuple):
    """Sample i of a band lies at `stride * i + offset` and depends on pixels at most `reach` from there.

    That holds in both directions, in pixels. The image itself is `ReceptiveField()`.
    """

    stride: int = 1
    offset: float = 0.0
    reach: float = 0.0

    def through(self, support: int, *, step: int = 1, padding: int | None = None) -> "ReceptiveField":
        """The field of what a window, such as a filter, computes of samples of this field.

        Args:
          support: samples that the window covers.
          step: samples by which the window moves.
          padding: samples that are added before the first; by default those that keep the centre, for odd supports.

        Example:
          >>> ReceptiveField().through(5, step=2).through(3, padding=0)
          ReceptiveField(stride=2, offset=2.0, reach=4.0)
        """
        half = (support - 1) / 2
        shift = 0.0 if padding is None else half - padding
        return ReceptiveField(self.stride * step, self.offset + self.stride * shift, self.reach + self.stride * half)

    def farthest(self) -> float:
        """How far from `stride * i` the pixels are on which sample i may depend, at most."""
        return abs(self.offset) + self.reach
