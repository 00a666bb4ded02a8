"""Large images in regions: the same representation, piece by piece, in the memory of one piece.

A region is a rectangle of the image: a part that is kept, and a halo around it. Some of its borders are borders of the
image, where zero padding is what the whole image gets too. The others are farther from the kept part than any receptive
field. So the kept part has the values of the whole image, up to rounding. Within a region every band is cut once more
in the same way, because a coarse band needs a far wider halo than a fine one.

A region that reaches over the end of the image is moved back into it. All regions of an image have one shape.

AlexNet and VGG16 see a hundred pixels to each side. Halos would be most of the work, so their images are not cut.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pim_jax.model import pim
from pim_jax.model.config import ModelConfig
from pim_jax.model.mixture import Mixture
from pim_jax.model.pim import Params

KEPT = 256  # pixels a side of the kept part of a region, at most, for one image and the paper's networks
_LEAST = 128


class Span(NamedTuple):
    """How one axis of one band is cut, in samples of that band. For the regions themselves the band is the image."""

    length: int  # of the whole band
    region: int  # of the band of a region
    context: int  # of what the networks see
    kept: int


class Plan(NamedTuple):
    """How an image is cut. Every pair is (rows, columns)."""

    counts: tuple[int, int]  # regions
    image: tuple[Span, Span]
    halos: tuple[int, int]  # pixels on each side
    strides: tuple[int, ...]  # of the bands, in pixels
    bands: tuple[tuple[Span, Span], ...]


def plan(config: ModelConfig, size: tuple[int, int], batch: int) -> Plan:
    """Returns how images of `size` (height, width) are cut. A side that fits into a region is not cut.

    The fewer values networks have a pixel, the larger are their regions. With AlexNet and VGG16 no side is cut.

    Args:
      config: the networks.
      size: height and width in pixels.
      batch: images that are in work at once. The more there are, the smaller are the regions.

    Examples:
      >>> plan(ModelConfig(), (512, 768), 1).counts, plan(ModelConfig(), (1080, 1920), 1).counts
      ((1, 3), (5, 8))
      >>> plan(ModelConfig(folding=(1, 2, 2, 2, 2, 4), widths=(32, 32, 3), support=3), (1080, 1920), 1).counts
      (1, 2)
    """
    strides = tuple(field.stride for field in config.receptive_fields)
    if config.network != "cnn":
        whole = [
            tuple(Span(length, length, length, length) for length in s) for s in (size, *pim.band_sizes(config, size))
        ]
        return Plan((1, 1), whole[0], (0, 0), strides, tuple(whole[1:]))
    seen = 2 * config.radius + 1
    reach = max(math.ceil(field.through(seen).farthest()) for field in config.receptive_fields)
    step = config.multiscale.period
    most = max(_LEAST, int(KEPT / (batch * _values(config) / _values(ModelConfig())) ** 0.5))
    axes = [_cut(length, most, -(-reach // step) * step, step) for length in size]
    counts, image, halos = zip(*axes, strict=True)
    whole, part = (
        pim.band_sizes(config, tuple(getattr(span, side) for span in image)) for side in ("length", "region")
    )
    bands = []
    for stride, lengths, regions in zip(strides, whole, part, strict=True):
        spans = []
        for axis in (0, 1):
            kept = lengths[axis] if counts[axis] == 1 else image[axis].kept // stride
            context = min(kept + seen - 1, regions[axis])
            spans.append(Span(lengths[axis], regions[axis], context, kept))
        bands.append(tuple(spans))
    return Plan(counts, image, halos, strides, tuple(bands))


def cut(plan: Plan, image: jax.Array, index) -> jax.Array:
    """Cuts a region with its halo out of whole images [N, H, W, 3]. `index` is its (row, column), and may be traced."""
    return _slice(image, _starts(plan, index), [span.region for span in plan.image])


def embed(config: ModelConfig, params: Params, plan: Plan, image: jax.Array, index) -> list[Mixture]:
    """q(z|x) of one region, in the context window of every band.

    Args:
      image: what `cut` returned.
      index: as for `cut`.

    Returns:
      A mixture per band: means [N, rows, columns, K, dimensions] and logits. Rows and columns are those of its context.
    """
    if plan.counts == (1, 1):
        return pim.embed(config, params, pim.features(config, params, image))
    starts = _starts(plan, index)
    windows = [
        _slice(band, [c - s // stride for c, s in zip(context, starts, strict=True)], [span.context for span in spans])
        for band, stride, spans, context in zip(
            pim.bands(config, image), plan.strides, plan.bands, _contexts(plan, index), strict=True
        )
    ]
    return pim.embed(config, params, pim.frontend_of(config, params, windows))


def context(plan: Plan, wholes: list[jax.Array], index) -> list[jax.Array]:
    """Cuts the context windows of a region out of [N, H, W] arrays, one for every whole band."""
    return [
        _slice(whole, start, [span.context for span in spans])
        for whole, spans, start in zip(wholes, plan.bands, _contexts(plan, index), strict=True)
    ]


def keep(plan: Plan, maps: list[jax.Array], index) -> list[jax.Array]:
    """Cuts the kept parts out of maps over context windows, [N, rows, columns]. They are 0 beyond the end of a band."""
    kept = []
    for band, spans, start in zip(maps, plan.bands, _contexts(plan, index), strict=True):
        own = [i * span.kept for i, span in zip(index, spans, strict=True)]
        # Twice, because bands of unpadded pyramids lose samples, and a last region may begin after the end of one. An
        # axis that is not cut stays as it is: one that is sharded over devices would be gathered.
        ends = [2 * span.kept if count > 1 else 0 for span, count in zip(spans, plan.counts, strict=True)]
        padded = jnp.pad(band, ((0, 0), *((0, end) for end in ends)))
        window = _slice(padded, [o - s for o, s in zip(own, start, strict=True)], [span.kept for span in spans])
        kept.append(window)
    return kept


def own(plan: Plan, wholes: list[jax.Array], index) -> list[jax.Array]:
    """Cuts the part that `keep` keeps out of [N, H, W] arrays, one for every whole band. There is 0 beyond its end."""
    cut = []
    for whole, spans in zip(wholes, plan.bands, strict=True):
        padded = jnp.pad(whole, ((0, 0), *((0, span.kept) for span in spans)))
        starts = [i * span.kept for i, span in zip(index, spans, strict=True)]
        cut.append(_slice(padded, starts, [span.kept for span in spans]))
    return cut


def join(plan: Plan, kept: list[jax.Array]) -> list[jax.Array]:
    """Puts the kept parts of all regions together: [regions, N, rows, columns] per band -> [N, height, width]."""
    bands = []
    for parts, (rows, columns) in zip(kept, plan.bands, strict=True):
        grid = parts.reshape(*plan.counts, *parts.shape[1:]).transpose(2, 0, 3, 1, 4)
        whole = grid.reshape(grid.shape[0], plan.counts[0] * rows.kept, plan.counts[1] * columns.kept)
        bands.append(whole[:, : rows.length, : columns.length])
    return bands


def sizes(plan: Plan) -> list[tuple[int, int]]:
    """Height and width of every whole band."""
    return [(rows.length, columns.length) for rows, columns in plan.bands]


def indices(plan: Plan) -> tuple[jax.Array, jax.Array]:
    """The rows and the columns of all regions."""
    rows, columns = jnp.meshgrid(*(jnp.arange(count) for count in plan.counts), indexing="ij")
    return rows.reshape(-1), columns.reshape(-1)


def _values(config: ModelConfig) -> float:
    """How many values a pixel has in the widest layer of a band and in its z. This decides the memory of a region."""
    bands = zip(config.inputs, config.receptive_fields, strict=True)
    return max((max(inputs, *config.widths) + config.dimensions) / field.stride**2 for inputs, field in bands)


def _cut(length: int, most: int, halo: int, step: int) -> tuple[int, Span, int]:
    """(number of regions, their span, their halo) along an axis. Cuts are at multiples of `step`."""
    count = -(-length // most)
    kept = -(-length // (count * step)) * step
    # As far from a multiple of the step as the image is. Then the last region ends where the image does.
    region = kept + 2 * halo + length % step
    if region >= length:
        return 1, Span(length, length, length, length), 0
    return -(-length // kept), Span(length, region, region, kept), halo


def _starts(plan: Plan, index) -> list[jax.Array]:
    """Where a region begins, in pixels."""
    return [
        jnp.clip(i * span.kept - halo, 0, span.length - span.region)
        for i, span, halo in zip(index, plan.image, plan.halos, strict=True)
    ]


def _contexts(plan: Plan, index) -> list[list[jax.Array]]:
    """Where the context windows begin, in samples of each whole band."""
    starts = _starts(plan, index)
    contexts = []
    for spans, stride in zip(plan.bands, plan.strides, strict=True):
        wanted = [i * span.kept - (span.context - span.kept) // 2 for i, span in zip(index, spans, strict=True)]
        contexts.append(
            [
                start // stride + jnp.clip(want - start // stride, 0, span.region - span.context)
                for want, start, span in zip(wanted, starts, spans, strict=True)
            ]
        )
    return contexts


def _slice(array: jax.Array, starts, sizes) -> jax.Array:
    rest = array.ndim - 3
    return jax.lax.dynamic_slice(array, (0, *starts, *([0] * rest)), (len(array), *sizes, *array.shape[3:]))
