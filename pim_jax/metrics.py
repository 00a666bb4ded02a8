"""Every metric of this package through one door: PIM, SPIPS, and the metrics of the literature.

from pim_jax import metrics
lpips = metrics.load("lpips-alex-lin")
d = lpips.distance(x, y)
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax

from pim_jax import baselines, inputs, metric, stored
from pim_jax.against import Against
from pim_jax.converted import Converted, ConvertedMap
from pim_jax.spips import metric as spips

NAMES = (*stored.bundled(), *baselines.NAMES)

# Weights say which metric they are of. By that: what they must look like, and the function that makes the metric.
FORMATS = {**metric.FORMAT, **spips.FORMAT}
_FROM_WEIGHTS: dict[str, Callable[..., "Metric"]] = {"pim": metric.from_weights, "spips": spips.from_weights}


class Metric(Protocol):
    """What can be done with any metric. Images are float sRGB in [0, 1], [N, H, W, 3] or [H, W, 3].

    Attributes:
      name: what to call it in tables.
      digest: which weights, or which version of a library or program, its values come from.
      smallest_size: the least height and width of an image, in pixels.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def smallest_size(self) -> int: ...

    def distance(self, x: jax.Array, y: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images, [N] float32, or [] for two single images; lower is closer.

        A `MapMetric` takes a mask, [N, H, W], [N, H, W, 1] or [H, W], boolean or float in [0, 1]. The distance is then
        the weighted mean of its map, sum(mask * distance_map) / sum(mask). For other metrics a mask is a ValueError.
        """
        ...

    def embed(self, x: jax.Array) -> Any:
        """What is computed from one image alone: a pytree of arrays with N leading."""
        ...

    def between(self, z_x: Any, z_y: Any, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images given by what `embed` made of them, [N] float32; masks as for `distance`."""
        ...

    def against(self, reference: jax.Array) -> Against:
        """The distance from a reference, which is encoded once: a function of the other image, and of a mask."""
        ...


@runtime_checkable
class MapMetric(Metric, Protocol):
    """A metric that also tells where two images differ, and so takes masks."""

    def distance_map(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The distance at every pixel, [N, H, W] float32, or [H, W] for two single images; its mean is `distance`."""
        ...


def load(name_or_folder: str | Path, *, value_range: tuple[float, float] = (0, 1), channels: str = "last") -> Metric:
    """Returns a metric.

    Args:
      name_or_folder: one of `NAMES`, or a folder of weights: the working directory of `train.py`, one of its
        checkpoints (RUN@STEP), or what `python -m pim_jax.convert` or `release` wrote; on disk or in a bucket. Metrics
        of the literature may be written in capitals, as in "LPIPS-alex-lin".
      value_range: the values of black and white in the images of your program, such as (-1, 1) or (0, 255).
      channels: "last" for images [N, H, W, 3], "first" for [N, 3, H, W].

    Raises:
      FileNotFoundError: there is no metric and no folder of that name; or a program that the metric needs is missing.
      ImportError: a library that the metric needs is not installed; the message names the extra.
      OSError: the cache folder cannot be written, or the bucket cannot be reached.
      ValueError: the folder holds no weights, or damaged ones; or there is no such range, or order of channels.

    Examples:
      >>> load("pim-1").name, load("NLPD").name
      ('pim-1', 'NLPD')
      >>> nlpd = load("nlpd", value_range=(-1, 1), channels="first")
      >>> x = jax.random.uniform(jax.random.key(0), (3, 64, 64), minval=-1)
      >>> abs(float(nlpd.distance(x, x))) < 1e-6
      True
    """
    convention = inputs.convention(value_range, channels)
    found = _load(name_or_folder)
    if convention == inputs.CONTRACT:
        return found
    return (ConvertedMap if isinstance(found, MapMetric) else Converted)(found, convention)


def _load(name_or_folder: str | Path) -> Metric:
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
