"""The Laplacian pyramid of the released code. It is not padded, so bands lose their borders."""

import dataclasses

import jax

from pim_jax.model import filters
from pim_jax.model.filtering import correlate, expand
from pim_jax.model.receptive_field import ReceptiveField

_LOST = 4  # samples that a difference loses: two at each border


@dataclasses.dataclass(frozen=True)
class Laplacian:
    """A band is the difference between an image and what is left of it at half the rate.

    Attributes:
      scales: number of bands.
      laplacian_residual: whether the coarsest band is the lowpass image itself, and not one more difference.

    References:
      Burt & Adelson, IEEE Trans. Communications 1983; paper, section 3.4.

    Examples:
      >>> Laplacian(scales=3, laplacian_residual=True).sizes((64, 64))
      [(15, 15), (27, 27), (60, 60)]
    """

    scales: int
    laplacian_residual: bool

    @property
    def count(self) -> int:
        return self.scales

    @property
    def smallest_size(self) -> int:
        differences = self.scales - self.laplacian_residual
        return 6 * 2 ** (differences - 1) - 1 if differences else 1

    @property
    def period(self) -> int:
        return 2**self.scales  # every difference, the coarsest too, is from a band at half its rate

    @property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        fine_to_coarse, low = [], ReceptiveField()
        for scale in range(self.scales):
            # Three taps to decimate and three to expand see five samples.
            fine_to_coarse.append(low if self._is_residual(scale) else low.through(1 + _LOST, padding=0))
            low = low.through(len(filters.binomial()), step=2, padding=0)
        return tuple(reversed(fine_to_coarse))

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        fine_to_coarse = []
        for scale in range(self.scales):
            lost = 0 if self._is_residual(scale) else _LOST
            fine_to_coarse.append(tuple(length - lost for length in size))
            size = tuple((length - 1) // 2 for length in size)
        return fine_to_coarse[::-1]

    def bands(self, image: jax.Array) -> list[jax.Array]:
        taps = filters.binomial()
        fine_to_coarse = []
        for scale in range(self.scales):
            if self._is_residual(scale):
                fine_to_coarse.append(image)
                break
            low = correlate(image, taps, stride=2, padding=0)[0]
            fine_to_coarse.append(image[:, 2:-2, 2:-2] - expand(low, taps, image.shape[1:3]))
            image = low
        return fine_to_coarse[::-1]

    def _is_residual(self, scale: int) -> bool:
        return self.laplacian_residual and scale == self.scales - 1
