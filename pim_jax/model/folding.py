"""Pyramids whose bands are folded: blocks of samples become channels. So networks run at a lower rate."""

import dataclasses
import math

import jax

from pim_jax.model.blocks import fold
from pim_jax.model.pyramid import Pyramid
from pim_jax.model.receptive_field import ReceptiveField


@dataclasses.dataclass(frozen=True)
class Folded:
    """A pyramid whose bands are folded. It is itself a `pim_jax.model.pyramid.Pyramid`.

    Attributes:
      pyramid: the pyramid whose bands are folded.
      folding: the sides of the blocks of each band, coarse to fine. The last one holds for all further bands.

    References:
      For the inverse: Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
      convolutional neural network, CVPR 2016.

    Examples:
      >>> from pim_jax.model.steerable import Steerable
      >>> Folded(Steerable(scales=1, orientations=1), (1, 2)).sizes((60, 63))
      [(30, 32), (30, 32), (30, 32)]
    """

    pyramid: Pyramid
    folding: tuple[int, ...]

    @property
    def count(self) -> int:
        return self.pyramid.count

    @property
    def smallest_size(self) -> int:
        return self.pyramid.smallest_size

    @property
    def period(self) -> int:
        return math.lcm(self.pyramid.period, *(field.stride for field in self.receptive_fields))

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the blocks of every band."""
        return (*self.folding, *(self.folding[-1],) * (self.count - len(self.folding)))

    @property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        fields = zip(self.pyramid.receptive_fields, self.sides, strict=True)
        return tuple(field.through(side, step=side, padding=0) for field, side in fields)

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        bands = zip(self.pyramid.sizes(size), self.sides, strict=True)
        return [tuple(-(-length // side) for length in band) for band, side in bands]

    def bands(self, image: jax.Array) -> list[jax.Array]:
        return [fold(band, side) for band, side in zip(self.pyramid.bands(image), self.sides, strict=True)]
