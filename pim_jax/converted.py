"""A metric for programs that hold images otherwise: in another range of values, or with channels first."""

import dataclasses
from typing import Any

import jax
import numpy as np

from pim_jax import inputs
from pim_jax.against import Against


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Converted:
    """A metric whose images are held in another convention. `pim_jax.metrics.load` makes it.

    It has the contract of the metric. Images are checked as they come, so that errors name their values. Then they are
    converted, under `jit` as a part of the program. Maps, embeddings and distances are those of the metric. If channels
    are first, masks may be [N, 1, H, W].

    Attributes:
      metric: what compares.
      convention: how images are held (static).
    """

    metric: Any
    convention: inputs.Convention = dataclasses.field(metadata={"static": True})

    def __repr__(self):
        return f"{self.metric!r} of {self.convention}"

    @property
    def name(self) -> str:
        """As of the metric."""
        return self.metric.name

    @property
    def digest(self) -> str:
        """As of the metric."""
        return self.metric.digest

    @property
    def smallest_size(self) -> int:
        """As of the metric."""
        return self.metric.smallest_size

    def distance(self, x: jax.Array, y: jax.Array, mask: jax.Array | None = None, **options: Any) -> jax.Array:
        """The distance between images; arguments, values and errors are those of the metric's `distance`."""
        given = inputs.pair(self.metric, x, y, mask, self.convention)
        return self.metric.distance(given.x, given.y, _plane(given.mask), **options)

    def embed(self, x: jax.Array) -> Any:
        """What the metric computes from one image alone."""
        return self.metric.embed(inputs.image(self.metric, "x", x, self.convention))

    def between(self, z_x: Any, z_y: Any, mask: jax.Array | None = None, **options: Any) -> jax.Array:
        """The distance between images given by what `embed` made of them, as the metric's `between`."""
        mask = None if mask is None else _plane(inputs.mask_of(mask, self.convention))
        return self.metric.between(z_x, z_y, mask, **options)

    def against(self, reference: jax.Array) -> Against:
        """The distance from a reference, which is encoded once, as a function of the other image and a mask."""
        z = self.metric.embed(inputs.image(self.metric, "reference", reference, self.convention))
        return Against(self, z, np.shape(reference))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ConvertedMap(Converted):
    """The same of a metric that also tells where two images differ."""

    def distance_map(self, x: jax.Array, y: jax.Array, **options: Any) -> jax.Array:
        """The distance at every pixel, [N, H, W] float32, or [H, W] for two single images."""
        given = inputs.pair(self.metric, x, y, convention=self.convention)
        return self.metric.distance_map(given.x, given.y, **options)


def _plane(mask: jax.Array | None) -> jax.Array | None:
    return None if mask is None else mask[..., 0]
