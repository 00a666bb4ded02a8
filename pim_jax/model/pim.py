"""PIM's networks as pure functions of (configuration, parameters, images). Nothing outside `model` knows Flax.

Images are [N, H, W, 3] float sRGB in [0, 1]. Parameters are a nested dict of float32 arrays with string keys.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pim_jax.model import encoders, frontend, pyramid
from pim_jax.model.mixture import Mixture
from pim_jax.model.pyramid import Grid

Params = dict


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the networks look like. The defaults are the paper's PIM-1.

    Attributes:
      pyramid: "steerable", "laplacian" or "none" (one network on the image itself).
      scales: bandpass scales of the steerable pyramid, bands of the Laplacian one.
      orientations: oriented bands per scale of the steerable pyramid: 1, 2, 4 or 6.
      laplacian_residual: the coarsest Laplacian band is the lowpass image.
      widths: units of each convolutional layer.
      mixtures: components K of the marginal encoder.
      dimensions: dimensions of z at each position.
      layers: ReLU layers in each path of the encoders.
      head: "paper" ends the means' path with a linear layer, "released" (the official checkpoints) does not.

    Raises:
      ValueError: a field has a value that no model can have.
    """

    pyramid: str = "steerable"
    scales: int = 3
    orientations: int = 2
    laplacian_residual: bool = True
    widths: tuple[int, ...] = (64, 64, 64, 3)
    mixtures: int = 1
    dimensions: int = 10
    layers: int = 2
    head: str = "paper"

    def __post_init__(self):
        _check("pyramid", self.pyramid, self.pyramid in pyramid.KINDS, f"one of {', '.join(pyramid.KINDS)}")
        _check("scales", self.scales, self.scales >= 1, "at least 1")
        _check("orientations", self.orientations, self.orientations in (1, 2, 4, 6), "1, 2, 4 or 6")
        _check("widths", self.widths, len(self.widths) >= 1 and min(self.widths) >= 1, "one or more positive numbers")
        _check("mixtures", self.mixtures, self.mixtures >= 1, "at least 1")
        _check("dimensions", self.dimensions, self.dimensions >= 1, "at least 1")
        _check("layers", self.layers, self.layers >= 1, "at least 1")
        _check("head", self.head, self.head in encoders.HEADS, f"one of {', '.join(encoders.HEADS)}")

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Where the samples of each band lie."""
        return pyramid.grids(
            kind=self.pyramid,
            scales=self.scales,
            orientations=self.orientations,
            laplacian_residual=self.laplacian_residual,
        )

    @property
    def smallest_size(self) -> int:
        """The least height and width of an image, in pixels."""
        return pyramid.smallest_size(kind=self.pyramid, scales=self.scales, laplacian_residual=self.laplacian_residual)


class Pim(nnx.Module):
    """All networks; each band has its own."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        features, bands = config.widths[-1], len(config.grids)
        shape = dict(dimensions=config.dimensions, layers=config.layers, head=config.head, rngs=rngs)
        self.frontend = frontend.Frontend(bands, config.widths, rngs=rngs)
        self.marginal = nnx.Dict(
            {f"band{i}": encoders.MarginalEncoder(features, mixtures=config.mixtures, **shape) for i in range(bands)}
        )
        self.full = nnx.Dict({f"band{i}": encoders.FullEncoder(features, **shape) for i in range(bands)})


def init(config: ModelConfig, key: jax.Array) -> Params:
    """Returns fresh parameters: Glorot-uniform weights and zero biases, the defaults of the released code.

    Example:
      >>> params = init(ModelConfig(), jax.random.key(0))
      >>> sum(p.size for p in jax.tree.leaves(params))
      1722200
    """
    leaves, tree = jax.tree.flatten(shapes(config))
    offsets = np.cumsum([leaf.size for leaf in leaves])
    draws = jnp.split(
        jax.random.uniform(key, (offsets[-1],), jnp.float32, -1.0), offsets[:-1]
    )  # one draw compiles fastest
    return jax.tree.unflatten(
        tree, [_glorot_limit(leaf.shape) * d.reshape(leaf.shape) for leaf, d in zip(leaves, draws, strict=True)]
    )


def shapes(config: ModelConfig) -> Params:
    """Returns the tree of parameters with a `jax.ShapeDtypeStruct` at each leaf."""
    return nnx.to_pure_dict(nnx.eval_shape(lambda: nnx.state(Pim(config, rngs=nnx.Rngs(0)), nnx.Param)))


def features(config: ModelConfig, params: Params, image: jax.Array, *, centre: int | None = None) -> list[jax.Array]:
    """The frontend's output for every band.

    Args:
      image: [N, H, W, 3].
      centre: compute only that many samples a side around the middle of each band, aligned across scales; the values
        are those of the whole band.

    Returns:
      [N, h, w, widths[-1]] per band, coarse to fine.
    """
    found = bands(config, image)
    windows = frontend.whole(found) if centre is None else centres(config, found, centre)
    return _bind(config, params).frontend(found, windows)


def bands(config: ModelConfig, image: jax.Array) -> list[jax.Array]:
    """The pyramid of [N, H, W, 3], coarse to fine; see `pim_jax.model.pyramid`."""
    return pyramid.transform(
        image,
        kind=config.pyramid,
        scales=config.scales,
        orientations=config.orientations,
        laplacian_residual=config.laplacian_residual,
    )


def frontend_of(config: ModelConfig, params: Params, bands: list[jax.Array]) -> list[jax.Array]:
    """The frontend's output for given bands, or parts of them, [N, h, w, widths[-1]] each."""
    return _bind(config, params).frontend(bands, frontend.whole(bands))


def centres(config: ModelConfig, bands: list[jax.Array], size: int):
    """The windows, (rows, columns) per band, that `features(…, centre=size)` computes; bands are [N, h, w, …]."""
    return frontend.centres(bands, config.grids, size)


def marginal(config: ModelConfig, params: Params, features: list[jax.Array]) -> list[Mixture]:
    """q(z|x): a mixture per band and position, from the features of x."""
    encoder = _bind(config, params).marginal
    return [encoder[f"band{i}"](f) for i, f in enumerate(features)]


def full(
    config: ModelConfig, params: Params, features_x: list[jax.Array], features_y: list[jax.Array]
) -> list[jax.Array]:
    """The means of p(z|x,y), [N, h, w, dimensions] per band."""
    encoder = _bind(config, params).full
    return [encoder[f"band{i}"](x, y) for i, (x, y) in enumerate(zip(features_x, features_y, strict=True))]


def _bind(config: ModelConfig, params: Params) -> Pim:
    return nnx.merge(_graph(config), params)


@functools.cache
def _graph(config: ModelConfig) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: Pim(config, rngs=nnx.Rngs(0))))[0]


def _glorot_limit(shape: tuple[int, ...]) -> float:
    """The bound of uniform weights [..., inputs, outputs]; 0 for a bias (Glorot & Bengio 2010)."""
    return (6 / (math.prod(shape[:-2]) * sum(shape[-2:]))) ** 0.5 if len(shape) > 1 else 0.0


def _check(field: str, value, holds: bool, wanted: str):
    if not holds:
        raise ValueError(f"model.{field} must be {wanted}, not {value!r}")
