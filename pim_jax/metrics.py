"""Every metric of this package through one door: PIM, SPIPS, and the metrics of the literature.

from pim_jax import metrics
lpips = metrics.load("lpips-alex-lin")
d = lpips.distance(x, y)
"""

import difflib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax

from pim_jax import baselines, metric, stored
from pim_jax.spips import metric as spips

NAMES = (*stored.bundled(), *baselines.NAMES)

# Weights say which metric they are of. By that: what they must look like, and the function that makes the metric.
FORMATS = {**metric.FORMAT, **spips.FORMAT}
_FROM_WEIGHTS = {"pim": metric.from_weights, "spips": spips.from_weights}


class Metric(Protocol):
    """What can be done with any metric. Images are float sRGB in [0, 1], [N, H, W, 3] or [H, W, 3].

    Attributes:
      name: what to call it in tables.
      digest: which weights, or which version of a library or program, its values come from.
      smallest_size: the least height and width of an image, in pixels.
    """

    name: str
    digest: str

    @property
    def smallest_size(self) -> int: ...

    def distance(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The distance between images, [N] float32, or [] for two single images; lower is closer."""
        ...

    def embed(self, x: jax.Array) -> Any:
        """What is computed from one image alone: a pytree of arrays with N leading."""
        ...

    def between(self, z_x: Any, z_y: Any) -> jax.Array:
        """The distance between images given by what `embed` made of them, [N] float32."""
        ...


@runtime_checkable
class MapMetric(Metric, Protocol):
    """A metric that also tells where two images differ."""

    def distance_map(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The distance at every pixel, [N, H, W] float32, or [H, W] for two single images; its mean is `distance`."""
        ...


def load(name_or_folder: str | Path) -> Metric:
    """Returns a metric.

    Args:
      name_or_folder: one of `NAMES`, or a folder of weights: the working directory of `train.py`, one of its
        checkpoints (RUN@STEP), or what `python -m pim_jax.convert` or `release` wrote; on disk or in a bucket. Metrics
        of the literature may be written in capitals, as in "LPIPS-alex-lin".

    Raises:
      FileNotFoundError: there is no metric and no folder of that name; or a program that the metric needs is missing.
      ImportError: a library that the metric needs is not installed; the message names the extra.
      OSError: the cache folder cannot be written, or the bucket cannot be reached.
      ValueError: the folder holds no weights, or damaged ones.

    Example:
      >>> load("pim-1").name, load("NLPD").name
      ('pim-1', 'NLPD')
    """
    if str(name_or_folder).lower() in baselines.NAMES:
        return baselines.load(str(name_or_folder))
    try:
        weights = stored.load(name_or_folder, FORMATS)
    except FileNotFoundError as error:
        meant = f"did you mean {close}? Or choose" if (close := _closest(str(name_or_folder).lower())) else "choose"
        raise FileNotFoundError(
            f"there is no metric and no folder {name_or_folder}: {meant} from {', '.join(NAMES)}, or name a folder"
        ) from error
    return _FROM_WEIGHTS[weights.about.get("metric", "pim")](weights)


def _closest(name: str) -> str | None:
    """The name of a metric that may have been meant."""
    longer = [known for known in NAMES if name and known.startswith(name)]
    return next(iter(longer or difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8)), None)
