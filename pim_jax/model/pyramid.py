"""Multi-scale transforms without parameters, from an image to bands, coarse to fine (paper, section 2.4).

Every colour channel is filtered alone, in float32 whatever the precision of matrix products. Bands come in the order of
the released TensorFlow model: lowpass first, highpass last, and orientations in reverse within a scale.

A new kind is one class in a file of its own, and one line of `PYRAMIDS`.
"""

from typing import Protocol

import jax

from pim_jax.model.identity import Identity
from pim_jax.model.laplacian import Laplacian
from pim_jax.model.receptive_field import ReceptiveField
from pim_jax.model.steerable import Steerable


class Pyramid(Protocol):
    """A kind of pyramid is a frozen dataclass. Its fields are those of `ModelConfig` that it depends on.

    Attributes:
      count: the number of bands. It is cheap to compute, whatever the fields.
      smallest_size: the least height and width, in pixels, at which every band has a sample of its own scale.
      period: when an image is shifted by this number of pixels, every band is shifted by whole samples.
      receptive_fields: those of the samples of each band, coarse to fine.
    """

    count: int
    smallest_size: int
    period: int
    receptive_fields: tuple[ReceptiveField, ...]

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of each band of an image of this height and width."""

    def bands(self, image: jax.Array) -> list[jax.Array]:
        """[N, H, W, C] float -> [N, h, w, C] for each band, coarse to fine."""


PYRAMIDS = {"steerable": Steerable, "laplacian": Laplacian, "none": Identity}
