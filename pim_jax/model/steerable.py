"""The steerable pyramid: lowpass, oriented bandpass and highpass bands. Zero padding is that of the released model."""

import dataclasses

import jax

from pim_jax.model import filters
from pim_jax.model.filtering import correlate
from pim_jax.model.receptive_field import ReceptiveField


@dataclasses.dataclass(frozen=True)
class Steerable:
    """Lowpass, then `scales` x `orientations` bandpass bands, then highpass.

    Attributes:
      scales: bandpass scales.
      orientations: oriented bands per scale: 1, 2, 4 or 6.

    References:
      Simoncelli & Freeman, ICIP 1995.

    Examples:
      >>> Steerable(scales=2, orientations=1).sizes((60, 64))
      [(15, 16), (30, 32), (60, 64), (60, 64)]
    """

    scales: int
    orientations: int

    @property
    def count(self) -> int:
        return self.scales * self.orientations + 2

    @property
    def smallest_size(self) -> int:
        return 2**self.scales

    @property
    def period(self) -> int:
        return 2**self.scales

    @property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        taps = filters.steerable(self.orientations)
        fine_to_coarse = [ReceptiveField().through(len(taps.highpass0))]
        low = ReceptiveField().through(len(taps.lowpass0))
        for _ in range(self.scales):
            fine_to_coarse += [low.through(len(taps.oriented))] * self.orientations
            low = low.through(len(taps.lowpass), step=2)
        return (low, *fine_to_coarse[::-1])

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        return [tuple(-(-length // field.stride) for length in size) for field in self.receptive_fields]

    def bands(self, image: jax.Array) -> list[jax.Array]:
        taps = filters.steerable(self.orientations)
        low = correlate(image, taps.lowpass0)[0]
        fine_to_coarse = correlate(image, taps.highpass0)
        for _ in range(self.scales):
            fine_to_coarse += correlate(low, taps.oriented)
            low = correlate(low, taps.lowpass, stride=2)[0]
        return [low, *fine_to_coarse[::-1]]
