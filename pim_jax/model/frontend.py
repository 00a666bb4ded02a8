"""The frontend f: one convolutional network per band of the pyramid (paper, section 2.4 and Fig. 1).

Ablations have one deep network on the image itself. Its layers stand in for the bands (section 3.4).
"""

import itertools

import jax
from flax import nnx

from pim_jax.model import classifiers
from pim_jax.model.convolution import convolve
from pim_jax.model.receptive_field import ReceptiveField

COLOURS = 3

Span = tuple[int, int]
Window = tuple[Span, Span]  # rows, columns


class Cnn(nnx.Module):
    """Convolutions with a ReLU between them. The last one is linear. Borders of the band are zero padded.

    With `skip_connections`, a layer adds its input before the ReLU if the input has as many units.

    References:
      He et al., Deep residual learning for image recognition, CVPR 2016. Here a block is one convolution.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], *, support: int, skip_connections: bool, rngs: nnx.Rngs):
        self.depth, self.radius, self.skip_connections = len(widths), support // 2, skip_connections
        for layer, (before, after) in enumerate(itertools.pairwise((channels, *widths))):
            setattr(self, f"conv{layer}", nnx.Conv(before, after, (support, support), rngs=rngs))

    def __call__(self, band: jax.Array, rows: Span, columns: Span) -> jax.Array:
        """Features in a window of the band. They are computed from that window and its receptive field alone.

        Outside the band, a layer's values are zero padding and not features. Inside, they are computed as far as later
        layers need them. The result is what the whole band has in the window.

        Args:
          band: [N, H, W, channels] float.
          rows, columns: the wanted window, as half-open intervals within the band.

        Returns:
          [N, rows, columns, widths[-1]].
        """
        shape = band.shape[1:3]
        have = grow((rows, columns), self.depth * self.radius, shape)
        x = band[:, slice(*have[0]), slice(*have[1])]
        for layer in range(self.depth):
            want = grow((rows, columns), (self.depth - 1 - layer) * self.radius, shape)
            x = self._layer(layer, x, have, want)
            have = want
        return x

    def _layer(self, layer: int, x: jax.Array, have: Window, want: Window) -> jax.Array:
        """What a layer computes in the window `want` of x in the window `have`."""
        conv, radius = getattr(self, f"conv{layer}"), self.radius
        padding = tuple((h[0] - w[0] + radius, w[1] - h[1] + radius) for h, w in zip(have, want, strict=True))
        y = convolve(x, conv.kernel[...], padding) + conv.bias[None, None, None]
        if layer == self.depth - 1:
            return y
        if self.skip_connections and x.shape[-1] == y.shape[-1]:
            y = y + cut(x, have, want)
        return jax.nn.relu(y)


class Frontend(nnx.Module):
    """The networks of all bands, coarse to fine. `channels` has a number for each band."""

    def __init__(self, channels: tuple[int, ...], widths: tuple[int, ...], **options):
        for band, before in enumerate(channels):
            setattr(self, f"band{band}", Cnn(before, widths, **options))

    def __call__(self, bands: list[jax.Array], windows: list[Window]) -> list[jax.Array]:
        """Features of every band within its window, see `Cnn.__call__`."""
        return [
            getattr(self, f"band{i}")(band, *window)
            for i, (band, window) in enumerate(zip(bands, windows, strict=True))
        ]


class Classifier(nnx.Module):
    """The convolutions of a classifier on the image, see `pim_jax.model.classifiers`."""

    def __init__(self, network: str, hidden: bool, *, rngs: nnx.Rngs):
        self.network, self.hidden = network, hidden
        architecture = classifiers.NETWORKS[network]
        self.depth = len(architecture.units)
        channels = (COLOURS, *architecture.units)
        for layer, support in enumerate(architecture.supports):
            setattr(self, f"conv{layer}", nnx.Conv(*channels[layer : layer + 2], (support, support), rngs=rngs))

    def __call__(self, image: jax.Array) -> list[jax.Array]:
        """[N, H, W, 3] -> [N, h, w, units] of each layer that is a band, coarse to fine."""
        layers = [getattr(self, f"conv{layer}") for layer in range(self.depth)]
        kernels, biases = [conv.kernel[...] for conv in layers], [conv.bias[...] for conv in layers]
        compared = classifiers.activations(classifiers.NETWORKS[self.network], kernels, biases, image)
        return classifiers.bands(compared, hidden=self.hidden)


def whole(size: tuple[int, int]) -> Window:
    """Returns the window that covers a band of this height and width."""
    return (0, size[0]), (0, size[1])


def centres(bands: list[tuple[int, int]], fields: tuple[ReceptiveField, ...], size: int) -> list[Window]:
    """Returns windows of `size` samples a side around the middle of the image, aligned across scales (paper, A.2).

    Sample `size // 2` of every window lies at one point of the image. This is the sample of the coarsest band that is
    nearest the middle. Where layers are pooled or bands folded, it lies at most half a sample beside that. A band
    smaller than `size` is taken whole.

    Args:
      bands: height and width of each band.
      fields: the receptive fields of the samples of each band.
      size: samples a side.
    """
    return [tuple(_centre(axis, bands, fields, i, size) for axis in (0, 1)) for i in range(len(bands))]


def cut(x: jax.Array, have: Window, want: Window) -> jax.Array:
    """Cuts the window `want` of a band out of x, [N, h, w, …]. x is the window `have` of that band."""
    rows, columns = (slice(w[0] - h[0], w[1] - h[0]) for h, w in zip(have, want, strict=True))
    return x[:, rows, columns]


def _centre(axis: int, bands: list[tuple[int, int]], fields: tuple[ReceptiveField, ...], band: int, size: int) -> Span:
    coarsest = max(range(len(bands)), key=lambda i: fields[i].stride)
    middle = fields[coarsest].stride * (bands[coarsest][axis] // 2) + fields[coarsest].offset
    length = bands[band][axis]
    index = round((middle - fields[band].offset) / fields[band].stride)
    start = min(max(index - size // 2, 0), max(length - size, 0))
    return start, min(start + size, length)


def grow(window: Window, margin: int, size: tuple[int, int]) -> Window:
    """Returns the window with `margin` samples more on each side, as far as a band of this height and width has them.

    Examples:
      >>> grow(((1, 5), (4, 8)), 2, (16, 9))
      ((0, 7), (2, 9))
    """
    return tuple(
        (max(start - margin, 0), min(end + margin, length)) for (start, end), length in zip(window, size, strict=True)
    )
