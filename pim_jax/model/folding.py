"""Folding, or space to depth: a block of samples becomes the channels of one. So networks run at a lower rate."""

import dataclasses
import math

import jax
import jax.numpy as jnp

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

    Example:
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


def fold(band: jax.Array, side: int) -> jax.Array:
    """Makes one sample of every block of `side` x `side` samples. Zeros fill the last blocks.

    Args:
      band: [N, h, w, C].
      side: of the blocks.

    Returns:
      [N, ceil(h / side), ceil(w / side), side * side * C]. The first row of a block comes first.

    Example:
      >>> fold(jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1), 2).tolist()
      [[[[1.0, 2.0, 4.0, 5.0], [3.0, 0.0, 6.0, 0.0]]]]
    """
    if side == 1:
        return band
    n, height, width, channels = band.shape
    band = jnp.pad(band, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)))
    blocks = band.reshape(n, -(-height // side), side, -(-width // side), side * channels)
    return blocks.swapaxes(2, 3).reshape(n, blocks.shape[1], blocks.shape[3], -1)
