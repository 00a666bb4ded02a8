"""No pyramid: the image is the only band. For ablations (paper, section 3.4)."""

import dataclasses

import jax

from pim_jax.model.receptive_field import ReceptiveField


@dataclasses.dataclass(frozen=True)
class Identity:
    """The image itself.

    Examples:
      >>> Identity().sizes((60, 64))
      [(60, 64)]
    """

    count = smallest_size = period = 1
    receptive_fields = (ReceptiveField(),)

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        return [size]

    def bands(self, image: jax.Array) -> list[jax.Array]:
        return [image]
