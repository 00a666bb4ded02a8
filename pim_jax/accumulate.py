"""The mean distance over many batches, for the evaluation loops of Flax NNX, CLU and metrax.

    from pim_jax import accumulate, metrics

    measured = nnx.MultiMetric(pim=accumulate.MeanDistance(metrics.load("pim-fast")), loss=nnx.metrics.Average())
    for batch in batches:
        measured.update(targets=batch, predictions=model(batch), values=loss)
    measured.compute()["pim"].mean

Both classes give an `Estimate`: mean, standard error and count. They stay exact over millions of images: see
`pim_jax.moments`. Nothing has no mean: `compute` is an error before the first image. Within `jit` nothing can be
raised, so there the mean is NaN then, beside a count of 0.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
from flax import nnx

from pim_jax.metrics import Metric
from pim_jax.moments import Estimate, Moments


class MeanDistance(nnx.metrics.Metric):
    """The mean distance of images as a metric of Flax NNX, which goes into `nnx.MultiMetric` and through `nnx.jit`.

    Images may be sharded over a mesh. Within `shard_map` each shard has a mean of its own.

    Args:
      metric: from `metrics.load`. Its weights stay out of the state.
      x, y: what `update` calls the two images, in the order of `metric.distance`.
      weights: what `update` calls the weights of examples.

    Examples:
      >>> from pim_jax import metrics
      >>> mean = MeanDistance(metrics.load("psnr"))
      >>> mean.update(targets=jnp.zeros((2, 16, 16, 3)), predictions=jnp.ones((2, 16, 16, 3)), loss=0.5)
      >>> [x.item() for x in mean.compute()]
      [0.0, 0.0, 2]
    """

    def __init__(self, metric: Metric, *, x: str = "targets", y: str = "predictions", weights: str = "mask"):
        self._distance = metric.distance
        self._names = (x, y, weights)
        self._moments = nnx.metrics.MetricState(Moments.empty())

    def reset(self) -> None:
        """Forgets all images."""
        self._moments.set_value(Moments.empty())

    def update(self, **outputs: Any) -> None:
        """Adds a batch.

        Args:
          outputs: the images, [N, H, W, 3] float sRGB in [0, 1], and perhaps a mask, [N]: Booleans, or weights of at
            least 0. A weight of 0 leaves an example out. They have the names that the constructor was given. All other
            keyword arguments are ignored.

        Raises:
          TypeError: an image is missing; or as `metric.distance`.
          ValueError: there is not one weight for each image; a weight is negative or not finite, which shows outside of
            `jit` only; or as `metric.distance`.
        """
        added = _measured(self._distance, self._names, outputs)
        self._moments.set_value(_merged(self._moments.get_value(), added))

    def compute(self) -> Estimate:
        """The mean distance, its standard error and the number of images.

        Raises:
          ValueError: there are none, outside of `jit`. Within it the mean is NaN then.
        """
        return _estimate(self._moments.get_value())


def clu_metric(metric: Metric, *, x: str = "targets", y: str = "predictions", weights: str = "mask") -> type:
    """Returns the mean distance as a class of `clu.metrics.Metric`, which is what metrax's are too.

    The class has `from_model_output`, `merge`, `reduce`, `compute` and `empty`. It goes into `clu.metrics.Collection`.
    `from_model_output` takes what `MeanDistance.update` takes. Writers of CLU get the mean alone, by `compute_value`.

    Args:
      metric: from `metrics.load`.
      x, y, weights: what `from_model_output` calls the two images and the weights, as for `MeanDistance`.

    Raises:
      ImportError: clu is not installed.
    """
    try:
        from clu import metrics as clu_metrics
        from clu import values
    except ModuleNotFoundError:
        raise ImportError("clu is not installed: pip install clu, or google-metrax, which brings it") from None

    @flax.struct.dataclass
    class CluMeanDistance(clu_metrics.Metric):
        """The mean distance of images."""

        moments: Moments

        @classmethod
        def empty(cls):
            return cls(Moments.empty())

        @classmethod
        def from_model_output(cls, **outputs):
            return cls(_measured(metric.distance, (x, y, weights), outputs))

        def merge(self, other):
            return type(self)(_merged(self.moments, other.moments))

        def compute(self):
            return _estimate(self.moments)

        def compute_value(self):
            return values.Scalar(self.compute().mean)

    return CluMeanDistance


def _measured(distance, names: tuple[str, str, str], outputs: Mapping[str, Any]) -> Moments:
    """The moments of the distances of one batch."""
    *images, weights = names
    if missing := [name for name in images if name not in outputs]:
        raise TypeError(f"the keyword argument {missing[0]!r} is missing, which is to hold images; given: {[*outputs]}")
    distances = jnp.atleast_1d(distance(*(outputs[name] for name in images)))
    return _moments(distances, _weights(weights, outputs.get(weights), len(distances)))


def _weights(name: str, given: Any, count: int) -> jax.Array | None:
    if given is None:
        return None
    found = jnp.atleast_1d(given)
    if found.shape != (count,):
        raise ValueError(f"{name} has shape {found.shape} for {count} images: give one weight for each, [{count}]")
    if not isinstance(found, jax.core.Tracer):
        with jax.ensure_compile_time_eval():  # a concrete mask may be given to a function that is traced
            low, high = float(found.min()), float(found.max())
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"{name} has values from {low:.3g} to {high:.3g}: weights are finite and at least 0")
    return found


def _estimate(moments: Moments) -> Estimate:
    if not isinstance(moments.count, jax.core.Tracer) and not moments.count:
        raise ValueError("there is no image to take the mean of: update first, with a mask that is not 0 everywhere")
    return moments.estimate()


_moments = jax.jit(Moments.of)
_merged = jax.jit(Moments.merge)
