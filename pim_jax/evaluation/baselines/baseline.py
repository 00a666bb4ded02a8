"""The interface of a baseline."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

PIXELS_PER_BATCH = 2**18


@dataclasses.dataclass(frozen=True, repr=False)
class Baseline:
    """A metric from the literature.

    Attributes:
      name: as in the paper, such as "MS-SSIM" or "LPIPS-alex-lin".
      digest: what its values depend on beside this package: the first 12 hexadecimal digits of its weights' SHA-256, or
        the name and version of the library or program that computes it.
      embed: [N, H, W, 3] float sRGB in [0, 1] -> a pytree of arrays with N leading, all that `between` needs.
      between: two such pytrees, either with N = 1 -> [N] distances, lower is closer. Where the original is a
        similarity s, the distance is 1 - s, or -s if it has no upper bound.
      pixels_per_batch: how many pixels are best embedded and compared at once.
    """

    name: str
    digest: str
    embed: Callable[[jax.Array], Any]
    between: Callable[[Any, Any], jax.Array]
    pixels_per_batch: int = PIXELS_PER_BATCH

    def __repr__(self):
        return f"Baseline({self.name!r}, {self.digest})"

    def distance(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The distance of every pair.

        Args:
          x, y: [N, H, W, 3] float sRGB in [0, 1], of one size; either may have N = 1.

        Returns:
          [N] float32, lower is closer.
        """
        return self.between(self.embed(x), self.embed(y))
