"""The interface of a baseline."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pim_jax import batched, inputs
from pim_jax.against import Against

PIXELS_PER_BATCH = 2**18


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Baseline:
    """A metric from the literature, with the contract of `pim_jax.metrics.Metric`.

    Attributes:
      name: as in PIM's paper, such as "MS-SSIM" or "LPIPS-alex-lin".
      digest: what its values depend on besides this package: the first 12 hexadecimal digits of its weights' SHA-256,
        or the name and version of the library or program that computes it.
      smallest_size: the least height and width of an image, in pixels.
      encode: what `embed` computes of images that are checked already: [N, H, W, 3] float sRGB in [0, 1] -> a pytree of
        arrays with N leading.
      compare: what `between` computes: two such pytrees, either with N = 1 -> [N] distances, lower is closer. Where the
        original is a similarity s, the distance is 1 - s, or -s if it has no upper bound.
      pixels_per_batch: about how many pixels it is quickest to encode and compare at once.
    """

    name: str
    digest: str
    smallest_size: int
    encode: Callable[[jax.Array], Any]
    compare: Callable[[Any, Any], jax.Array]
    pixels_per_batch: int = PIXELS_PER_BATCH

    def __repr__(self):
        return f"Baseline({self.name!r}, {self.digest})"

    def distance(self, x: jax.Array, y: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images.

        Args:
          x, y: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1], of one height and width, at least `smallest_size`.
            Either may have N = 1 against a batch.
          mask: None, because there is no map of which it could be the weighted mean.

        Returns:
          [N] float32, lower is closer; [] for two single images.

        Raises:
          TypeError: an image is no array, or not floating-point.
          ValueError: there is a mask; shapes do not fit; or, outside of `jit`, values are not finite or not in [0, 1].
        """
        self._check_no_mask(mask)
        given = inputs.pair(self, x, y)
        return inputs.unbatch(_distance((self.encode, self.compare), given.x, given.y), given.single)

    def embed(self, x: jax.Array) -> Any:
        """What is computed from one image alone, to be compared with others by `between`.

        Args:
          x: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1].

        Returns:
          A pytree of arrays with N leading. A single image gives N = 1.

        Raises:
          As `distance`.
        """
        return _embed(self.encode, inputs.image(self, "x", x))

    def between(self, z_x: Any, z_y: Any, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images given by what `embed` made of them.

        Args:
          z_x, z_y: for images of one size; either may have N = 1 against a batch.
          mask: None, as for `distance`.

        Returns:
          [N] float32.

        Raises:
          TypeError: they are not what `embed` makes.
          ValueError: there is a mask; or they are of images of different sizes, or of another metric.
        """
        self._check_no_mask(mask)
        inputs.check_embeddings(inputs.embedding(self), z_x, z_y)
        return _between(self.compare, z_x, z_y)

    def against(self, reference: jax.Array) -> Against:
        """The distance from a reference, which is encoded once, as a function of the other image.

        Args:
          reference: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1]; N may be 1 against a batch.

        Raises:
          As `distance`.
        """
        return Against(self, _embed(self.encode, inputs.image(self, "reference", reference)), np.shape(reference))

    def _check_no_mask(self, mask: Any) -> None:
        if mask is not None:
            raise ValueError(
                f"{self.name} has no distance_map, so it takes no mask: use a metric that has one, such as pim-fast"
            )


@batched.of_images
def _distance(functions, x, y):
    encode, compare = functions
    return compare(*(encode(inputs.batch(image)) for image in (x, y)))


@batched.of_images
def _embed(encode, x):
    return encode(inputs.batch(x))


@batched.of_embeddings
def _between(compare, z_x, z_y):
    return compare(z_x, z_y)
