"""The frontend f: one convolutional network per band of the pyramid (paper, section 2.4 and Fig. 1).

Ablations have one deep network, on the image itself, whose layers stand in for the bands (section 3.4).
"""

import jax
from flax import nnx

from pim_jax.model import classifiers
from pim_jax.model.convolution import convolve
from pim_jax.model.receptive_field import ReceptiveField

SUPPORT = 5
_RADIUS = SUPPORT // 2
_CHANNELS = 3

Span = tuple[int, int]


class Cnn(nnx.Module):
    """5x5 convolutions with ReLU between, linear last, zero padded at the borders of the band."""

    def __init__(self, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        self.depth = len(widths)
        for layer, (before, after) in enumerate(zip((_CHANNELS, *widths), widths, strict=False)):
            setattr(self, f"conv{layer}", nnx.Conv(before, after, (SUPPORT, SUPPORT), rngs=rngs))

    def __call__(self, band: jax.Array, rows: Span, columns: Span) -> jax.Array:
        """Features in a window of the band, computed from that window and its receptive field alone.

        A layer's values outside the band are zero padding, not features; inside, they are computed as far as later
        layers need them. The result is that of the whole band, cut out.

        Args:
          band: [N, H, W, 3] float.
          rows, columns: the wanted window, half-open, within the band.

        Returns:
          [N, rows, columns, widths[-1]].
        """
        shape = band.shape[1:3]
        have = [_grow(span, self.depth * _RADIUS, length) for span, length in zip((rows, columns), shape, strict=True)]
        x = band[:, slice(*have[0]), slice(*have[1])]
        for layer in range(self.depth):
            margin = (self.depth - 1 - layer) * _RADIUS
            want = [_grow(span, margin, length) for span, length in zip((rows, columns), shape, strict=True)]
            padding = tuple((h[0] - w[0] + _RADIUS, w[1] - h[1] + _RADIUS) for h, w in zip(have, want, strict=True))
            conv = getattr(self, f"conv{layer}")
            x = convolve(x, conv.kernel[...], padding) + conv.bias[None, None, None]
            x = jax.nn.relu(x) if layer < self.depth - 1 else x
            have = want
        return x


class Frontend(nnx.Module):
    """The networks of all bands, coarse to fine."""

    def __init__(self, bands: int, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        self.bands = bands
        for band in range(bands):
            setattr(self, f"band{band}", Cnn(widths, rngs=rngs))

    def __call__(self, bands: list[jax.Array], windows: list[tuple[Span, Span]]) -> list[jax.Array]:
        """Features of every band within its window; see `Cnn.__call__`."""
        return [
            getattr(self, f"band{i}")(band, *window)
            for i, (band, window) in enumerate(zip(bands, windows, strict=True))
        ]


class Classifier(nnx.Module):
    """The convolutions of a classifier, on the image; see `pim_jax.model.classifiers`."""

    def __init__(self, network: str, hidden: bool, *, rngs: nnx.Rngs):
        self.network, self.hidden = network, hidden
        architecture = classifiers.NETWORKS[network]
        self.depth = len(architecture.units)
        channels = (_CHANNELS, *architecture.units)
        for layer, support in enumerate(architecture.supports):
            setattr(self, f"conv{layer}", nnx.Conv(*channels[layer : layer + 2], (support, support), rngs=rngs))

    def __call__(self, image: jax.Array) -> list[jax.Array]:
        """[N, H, W, 3] -> [N, h, w, units] of each layer that is a band, coarse to fine."""
        layers = [getattr(self, f"conv{layer}") for layer in range(self.depth)]
        kernels, biases = [conv.kernel[...] for conv in layers], [conv.bias[...] for conv in layers]
        compared = classifiers.activations(classifiers.NETWORKS[self.network], kernels, biases, image)
        return classifiers.bands(compared, hidden=self.hidden)


def radius(widths: tuple[int, ...]) -> int:
    """How many samples to each side a feature depends on."""
    return len(widths) * _RADIUS


def whole(bands: list[jax.Array]) -> list[tuple[Span, Span]]:
    """Returns the windows that cover each band."""
    return [((0, band.shape[1]), (0, band.shape[2])) for band in bands]


def centres(bands: list[jax.Array], fields: tuple[ReceptiveField, ...], size: int) -> list[tuple[Span, Span]]:
    """Returns windows of `size` samples a side around the middle of the image, aligned across scales (paper, A.2).

    Sample `size // 2` of every window lies at one point of the image: the grid point of the coarsest band nearest the
    middle; or, in layers that are pooled by 2, half a sample beside it. A band smaller than `size` is taken whole.

    Args:
      bands: [N, h, w, C] each.
      fields: of the samples of each band.
      size: samples a side.
    """
    return [tuple(_centre(axis, bands, fields, i, size) for axis in (1, 2)) for i in range(len(bands))]


def cut(bands: list[jax.Array], windows: list[tuple[Span, Span]]) -> list[jax.Array]:
    """Cuts windows out of whole bands."""
    return [band[:, slice(*rows), slice(*columns)] for band, (rows, columns) in zip(bands, windows, strict=True)]


def _centre(axis: int, bands: list[jax.Array], fields: tuple[ReceptiveField, ...], band: int, size: int) -> Span:
    coarsest = max(range(len(bands)), key=lambda i: fields[i].stride)
    middle = fields[coarsest].stride * (bands[coarsest].shape[axis] // 2) + fields[coarsest].offset
    length = bands[band].shape[axis]
    index = round((middle - fields[band].offset) / fields[band].stride)
    start = min(max(index - size // 2, 0), max(length - size, 0))
    return start, min(start + size, length)


def _grow(span: Span, margin: int, length: int) -> Span:
    return max(span[0] - margin, 0), min(span[1] + margin, length)
