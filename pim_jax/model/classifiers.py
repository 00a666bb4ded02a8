"""The convolutions of two classifiers, AlexNet and VGG16. They are deep and look at one scale (paper, section 3.4).

LPIPS compares what they compute with trained weights. Ablations of PIM train them from scratch.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pim_jax.model.receptive_field import ReceptiveField


class Network(NamedTuple):
    """Convolutions, each followed by a ReLU.

    Attributes:
      name: of the network.
      supports: sides of the kernels of every convolution.
      units: of every convolution.
      stride: of the first convolution. The others have 1.
      paddings: of every convolution, zeros on each side.
      pool: the side of the windows of max-pooling. Its stride is 2.
      pooled: which convolutions have max-pooling before them.
      compared: which convolutions' outputs LPIPS compares. The last of them ends the network.
      smallest: the smallest height and width of an image, in pixels.
    """

    name: str
    supports: tuple[int, ...]
    units: tuple[int, ...]
    stride: int
    paddings: tuple[int, ...]
    pool: int
    pooled: tuple[int, ...]
    compared: tuple[int, ...]
    smallest: int


ALEXNET = Network(
    name="alexnet",
    supports=(11, 5, 3, 3, 3),
    units=(64, 192, 384, 256, 256),
    stride=4,
    paddings=(2, 2, 1, 1, 1),
    pool=3,
    pooled=(1, 2),
    compared=(0, 1, 2, 3, 4),
    smallest=31,
)
VGG16 = Network(
    name="vgg16",
    supports=(3,) * 13,
    units=(64, 64, 128, 128, 256, 256, 256, *(512,) * 6),
    stride=1,
    paddings=(1,) * 13,
    pool=2,
    pooled=(2, 4, 7, 10),
    compared=(1, 3, 6, 9, 12),
    smallest=16,
)
NETWORKS = {network.name: network for network in (ALEXNET, VGG16)}


def activations(
    network: Network,
    kernels: Sequence[jax.Array],
    biases: Sequence[jax.Array],
    image: jax.Array,
    *,
    pool: Callable[[jax.Array], jax.Array] | None = None,
) -> list[jax.Array]:
    """The outputs of the layers that LPIPS compares.

    Args:
      network: the architecture.
      kernels: [support, support, units before, units] of every convolution.
      biases: [units] of every convolution.
      image: [N, H, W, 3], at least `network.smallest` pixels high and wide.
      pool: what stands in for max-pooling, if something does: [N, h, w, units] -> the same, half as high and wide.

    Returns:
      [N, h, w, units] of each compared layer, fine to coarse.

    References:
      Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (AlexNet).
      Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, 2015 (VGG16).

    Examples:
      >>> kernels = [jnp.ones(shape) for shape in [(11, 11, 3, 4), (5, 5, 4, 4)] + [(3, 3, 4, 4)] * 3]
      >>> layers = activations(ALEXNET, kernels, [jnp.zeros(4)] * 5, jnp.ones((1, 64, 64, 3)))
      >>> [layer.shape for layer in layers]
      [(1, 15, 15, 4), (1, 7, 7, 4), (1, 3, 3, 4), (1, 3, 3, 4), (1, 3, 3, 4)]
    """
    x, compared = image, []
    pool = pool or _max_pooling(network.pool)
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        if layer in network.pooled:
            x = pool(x)
        stride, padding = network.stride if layer == 0 else 1, network.paddings[layer]
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
        if layer in network.compared:
            compared.append(x)
    return compared


def _max_pooling(side: int) -> Callable[[jax.Array], jax.Array]:
    window = (1, side, side, 1)
    return lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), "VALID")


def receptive_fields(network: Network) -> list[ReceptiveField]:
    """The receptive fields of the samples of each compared layer, fine to coarse.

    Examples:
      >>> receptive_fields(VGG16)[0]
      ReceptiveField(stride=1, offset=0.0, reach=2.0)
    """
    field, compared = ReceptiveField(), []
    for layer, (support, padding) in enumerate(zip(network.supports, network.paddings, strict=True)):
        if layer in network.pooled:
            field = field.through(network.pool, step=2, padding=0)
        field = field.through(support, step=network.stride if layer == 0 else 1, padding=padding)
        if layer in network.compared:
            compared.append(field)
    return compared


def bands(layers: Sequence, *, hidden: bool) -> list:
    """Chooses which of the compared layers are bands: all of them if `hidden`, otherwise only the last.

    Layers come fine to coarse, and bands coarse to fine.

    Examples:
      >>> bands("abc", hidden=True), bands("abc", hidden=False)
      (['c', 'b', 'a'], ['c'])
    """
    return list(layers)[::-1] if hidden else [layers[-1]]
