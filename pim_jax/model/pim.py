"""PIM's networks as pure functions of (configuration, parameters, images). Nothing outside `model` knows Flax.

Images are [N, H, W, 3] float sRGB in [0, 1]. Parameters are a nested dict of float32 arrays with string keys.
"""

import functools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pim_jax.model import encoders, frontend, normalisation
from pim_jax.model.config import ModelConfig
from pim_jax.model.folding import Folded
from pim_jax.model.mixture import Mixture

Params = dict


class Networks(nnx.Module):
    """All networks. Each band has its own encoders. It also has its own frontend, unless it is a classifier's layer."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        shape = dict(dimensions=config.dimensions, layers=config.layers, head=config.head, rngs=rngs)
        channels = {f"band{i}": width for i, width in enumerate(config.channels)}
        if config.network == "cnn":
            options = dict(support=config.support, skip_connections=config.skip_connections, rngs=rngs)
            self.frontend = frontend.Frontend(config.inputs, config.widths, **options)
        else:
            self.frontend = frontend.Classifier(config.network, config.hidden, rngs=rngs)
        self.marginal = nnx.Dict(
            {band: encoders.MarginalEncoder(c, mixtures=config.mixtures, **shape) for band, c in channels.items()}
        )
        self.full = nnx.Dict({band: encoders.FullEncoder(c, **shape) for band, c in channels.items()})


def init(config: ModelConfig, key: jax.Array) -> Params:
    """Returns fresh parameters: Glorot-uniform weights and zero biases, the defaults of the released code.

    The weights of AlexNet and VGG16 are He-uniform. Glorot's would make the activations of VGG16's last layer a
    hundred times smaller than those of the first one.

    Examples:
      >>> params = init(ModelConfig(), jax.random.key(0))
      >>> sum(p.size for p in jax.tree.leaves(params))
      1722200
    """
    found = shapes(config)
    limits = jax.tree.map(_glorot_limit, found)
    if config.network != "cnn":
        limits["frontend"] = jax.tree.map(_he_limit, found["frontend"])
    leaves, tree = jax.tree.flatten(found)
    offsets = np.cumsum([leaf.size for leaf in leaves])
    draws = jnp.split(
        jax.random.uniform(key, (offsets[-1],), jnp.float32, -1.0), offsets[:-1]
    )  # one draw compiles fastest
    return jax.tree.unflatten(
        tree,
        [
            limit * draw.reshape(leaf.shape)
            for limit, leaf, draw in zip(jax.tree.leaves(limits), leaves, draws, strict=True)
        ],
    )


def side_by_side(config: ModelConfig, networks: list[Params]) -> Params:
    """Makes members of separate networks, and leaves their parameters as they are.

    Args:
      config: what each of them looks like, with the network "cnn".
      networks: the parameters of each.

    Returns:
      parameters for `config` with `members` times as many members as there are networks.

    Examples:
      >>> two = [init(ModelConfig(), jax.random.key(seed)) for seed in (0, 1)]
      >>> len(side_by_side(ModelConfig(), two)["marginal"])
      16
    """
    count = len(config.channels)
    return {
        part: {f"band{i + count * m}": one[part][f"band{i}"] for m, one in enumerate(networks) for i in range(count)}
        for part in networks[0]
    }


def shapes(config: ModelConfig) -> Params:
    """Returns the tree of parameters with a `jax.ShapeDtypeStruct` at each leaf."""
    return nnx.to_pure_dict(_split(config)[1])


def features(
    config: ModelConfig, params: Params, image: jax.Array, *, centre: int | None = None, margin: int = 0
) -> list[jax.Array]:
    """The frontend's output for every band.

    Args:
      image: [N, H, W, 3].
      centre: how many samples a side to compute around the middle of each band, aligned across scales. Their values
        are those of the whole band. All samples if None.
      margin: how many more samples to compute on each side, as far as the band has them.

    Returns:
      [N, h, w, channels] per band, coarse to fine.
    """
    if config.network != "cnn":
        # Strides and pooling make windows intricate. And a training crop is hardly larger than what its middle sees.
        layers = _bind(config, params).frontend(image)
        wholes = _wholes(layers)
        windows = wholes if centre is None else centres(config, image.shape[1:3], centre, margin)
        return [frontend.cut(*of_layer) for of_layer in zip(layers, wholes, windows, strict=True)]
    found = bands(config, image)
    windows = _wholes(found) if centre is None else centres(config, image.shape[1:3], centre, margin)
    return _bind(config, params).frontend(found, windows)


def bands(config: ModelConfig, image: jax.Array) -> list[jax.Array]:
    """The folded pyramid of [N, H, W, 3], coarse to fine, once for every member. See `pim_jax.model.pyramid`."""
    return _bands(config.multiscale, image) * config.members


@functools.partial(jax.jit, static_argnums=0)
def _bands(multiscale: Folded, image: jax.Array) -> list[jax.Array]:
    """Jitted, so that its hundreds of operations are traced once for each shape, however often a program calls it."""
    return multiscale.bands(image)


def frontend_of(config: ModelConfig, params: Params, bands: list[jax.Array]) -> list[jax.Array]:
    """The output of the network "cnn", [N, h, w, widths[-1]] for each of the given bands or parts of bands."""
    return _bind(config, params).frontend(bands, _wholes(bands))


def band_sizes(config: ModelConfig, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width of the features of each band, for images of this height and width.

    Examples:
      >>> band_sizes(ModelConfig(scales=1, orientations=1, folding=(1, 2), members=2), (60, 64))
      [(30, 32), (30, 32), (30, 32), (30, 32), (30, 32), (30, 32)]
    """
    if config.network == "cnn":
        return config.multiscale.sizes(size) * config.members
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    layers = jax.eval_shape(functools.partial(features, config), shapes(config), image)
    return [layer.shape[1:3] for layer in layers]


def wholes(config: ModelConfig, size: tuple[int, int]) -> list[frontend.Window]:
    """The windows, (rows, columns) per band, that cover the features of images of this height and width."""
    return [frontend.whole(band) for band in band_sizes(config, size)]


def centres(config: ModelConfig, size: tuple[int, int], centre: int, margin: int = 0) -> list[frontend.Window]:
    """The windows, (rows, columns) per band, of `features(…, centre, margin)` for images of this height and width."""
    bands = band_sizes(config, size)
    windows = frontend.centres(bands, config.receptive_fields, centre)
    return [frontend.grow(window, margin, band) for window, band in zip(windows, bands, strict=True)]


def marginal(config: ModelConfig, params: Params, features: list[jax.Array]) -> list[Mixture]:
    """q(z|x) from the features of x, before it is normalised: a mixture for each band and position."""
    encoder = _bind(config, params).marginal
    return [encoder[f"band{i}"](f) for i, f in enumerate(features)]


def embed(config: ModelConfig, params: Params, features: list[jax.Array]) -> list[Mixture]:
    """q(z|x) as the metric compares it. It is normalised if the configuration says so.

    Args:
      features: [N, h, w, channels] per band. They are those of whole bands, or of windows whose outermost samples are
        not used, because normalised z depends on `normalisation.RADIUS` samples to each side.
    """
    return normalise(config, marginal(config, params, features))


def normalise(config: ModelConfig, mixtures: list[Mixture]) -> list[Mixture]:
    """Normalises z of whole bands, [N, h, w, K, dimensions], or leaves it as it is. See `embed`."""
    if not config.normalisation:
        return mixtures
    return [normalisation.normalise(mixture, config.normalisation) for mixture in mixtures]


def full(
    config: ModelConfig, params: Params, features_x: list[jax.Array], features_y: list[jax.Array]
) -> list[jax.Array]:
    """The means of p(z|x,y), [N, h, w, dimensions] per band."""
    encoder = _bind(config, params).full
    return [encoder[f"band{i}"](x, y) for i, (x, y) in enumerate(zip(features_x, features_y, strict=True))]


def _wholes(bands: list[jax.Array]) -> list[frontend.Window]:
    return [frontend.whole(band.shape[1:3]) for band in bands]


def _bind(config: ModelConfig, params: Params) -> Networks:
    return nnx.merge(_split(config)[0], params)


@functools.cache  # building the modules takes half a second
def _split(config: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
    """The structure of the networks, and the shapes of their parameters."""

    def build():
        # Any key will do. `nnx.Rngs` would count every key under the trace, and take three times as long.
        key = jax.random.key(0)
        return Networks(config, rngs=types.SimpleNamespace(params=lambda: key))

    return nnx.split(nnx.eval_shape(build), nnx.Param)


def _glorot_limit(leaf: jax.ShapeDtypeStruct) -> float:
    """The bound of uniform weights [..., inputs, outputs], or 0 for a bias (Glorot & Bengio 2010)."""
    return (6 / (math.prod(leaf.shape[:-2]) * sum(leaf.shape[-2:]))) ** 0.5 if leaf.ndim > 1 else 0.0


def _he_limit(leaf: jax.ShapeDtypeStruct) -> float:
    """The same for layers with a ReLU after them. It halves the mean square (He et al. 2015)."""
    return (6 / math.prod(leaf.shape[:-1])) ** 0.5 if leaf.ndim > 1 else 0.0
