"""Where the samples of a band lie on the image, and how far they see."""

from typing import NamedTuple


class ReceptiveField(NamedTuple):
    """Sample i of a band lies at `stride * i + offset`, and depends on pixels at most `reach` from there.

    All three are in pixels, and hold for rows and for columns. The image itself is `ReceptiveField()`.
    """

    stride: int = 1
    offset: float = 0.0
    reach: float = 0.0

    def through(self, support: int, *, step: int = 1, padding: int | None = None) -> "ReceptiveField":
        """The field of the samples that a window, such as a filter, computes from samples of this field.

        Args:
          support: samples that the window covers.
          step: samples by which the window moves.
          padding: samples that are added before the first one. By default as many as keep the centre of odd supports.

        Examples:
          >>> ReceptiveField().through(5, step=2).through(3, padding=0)
          ReceptiveField(stride=2, offset=2.0, reach=4.0)
        """
        half = (support - 1) / 2
        shift = 0.0 if padding is None else half - padding
        return ReceptiveField(self.stride * step, self.offset + self.stride * shift, self.reach + self.stride * half)

    def farthest(self) -> float:
        """The most that a pixel on which sample i depends may be away from `stride * i`."""
        return abs(self.offset) + self.reach
