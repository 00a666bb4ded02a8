"""The distance from a reference, as a function of the other image: what a loss needs."""

import dataclasses
from typing import Any

import jax
import numpy as np

from pim_jax import inputs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Against:
    """The distance from a reference. Make one with the method `against` of a metric.

    It is a function of an image, and a pytree if the metric is one.

    Attributes:
      metric: what compares.
      z: what the metric's `embed` made of the reference.
      shape: of the reference (static).
    """

    metric: Any
    z: Any
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def __call__(self, x: jax.Array, mask: jax.Array | None = None, **options: Any) -> jax.Array:
        """The distance of an image from the reference.

        Args:
          x: an image or a batch of them, as for the metric's `distance`, of the reference's height and width.
          mask: as for the metric's `distance`.
          options: more of what the metric's `between` takes.

        Returns:
          [N] float32, or [] for a single image, a single reference, and no mask or a single one.

        Raises:
          TypeError, ValueError: as the metric's `distance`.
        """
        z = self.metric.embed(x)
        if np.shape(x)[-3:] != self.shape[-3:]:
            raise ValueError(
                f"x has shape {np.shape(x)} and the reference {self.shape}: images must have one size; crop or resize "
                "one"
            )
        values = self.metric.between(self.z, z, mask, **options)
        single = len(self.shape) == np.ndim(x) == 3 and (mask is None or np.ndim(mask) == 2)
        return inputs.unbatch(values, single)

    def __repr__(self):
        return f"{self.metric!r} against a reference of shape {self.shape}"
