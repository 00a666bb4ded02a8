"""Visual information fidelity in the pixel domain: how much of what the eye learns of one picture is in another.

Everything is computed of the reference and of the difference to it. So what equal pictures lack is exactly 0, and
small differences keep their digits.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.baselines.baseline import Baseline
from pim_jax.baselines.luma import luma

SIDES = (17, 9, 5, 3)  # of the Gaussian window at every scale, fine to coarse, in pixels
DEVIATION = 0.2  # of the Gaussian, as a share of the side
NOISE = 2.0  # variance of the noise in the eye, of pictures on a scale of 255
_EPSILON = 1e-8
_SMALLEST = 41  # pixels: the window fits at all scales


def vifp() -> Baseline:
    """1 - VIFp of luma. x is the reference. It is not symmetric, and less than 0 if y has more contrast.

    A flat reference holds no information: the distance is 0, whatever y is.

    References:
      Sheikh, Bovik: Image information and visual quality. 2006. The authors' program has the pixel domain.

    Examples:
      >>> vifp().name
      'VIFp'
    """
    return Baseline("VIFp", "2006", _SMALLEST, jax.jit(luma), distance)


@jax.jit
def distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """1 - VIFp.

    Args:
      x, y: [N, H, W] in [0, 1], reference and distorted, at least 41 x 41; either may have N = 1.

    Returns:
      [N] float32, 0 for equal images.

    Examples:
      >>> ramp = jnp.linspace(0, 1, 48 * 48).reshape(1, 48, 48)
      >>> [float(distance(ramp, y)[0].round(3)) for y in (ramp, 0.5 + 0 * ramp)]
      [0.0, 1.0]
    """
    # A constant changes no variance. Without it they are more exact, and those of a flat picture are 0.
    middle = jax.lax.stop_gradient((x.max((1, 2), keepdims=True) + x.min((1, 2), keepdims=True)) / 2)
    x, change = jnp.broadcast_arrays(255 * (x - middle), 255 * (y - x))
    all_information, all_lost = 0.0, 0.0
    for side in SIDES:
        if side < SIDES[0]:
            x, change = jnp.split(_blurred(jnp.concatenate((x, change)), side)[:, ::2, ::2], 2)
        information, lost = _scale(x, change, side)
        all_information, all_lost = all_information + information, all_lost + lost
    return all_lost / (all_information + _EPSILON)


def _scale(x, change, side):
    """The information in x, and how much of it x + change lacks, [N] each, in nats."""
    moments = (x, change, jnp.square(x), jnp.square(change), x * change)
    mean, mean_change, square, square_change, product = jnp.split(_blurred(jnp.concatenate(moments), side), 5)
    variance = jnp.maximum(square - jnp.square(mean), 0)
    variance_change = jnp.maximum(square_change - jnp.square(mean_change), 0)
    covariance = product - mean * mean_change
    # y is modelled as gain x + noise. Where x is flat there is nothing to gain, and no negative of x is of use.
    textured = variance > _EPSILON
    relative = jnp.where(textured, covariance / jnp.where(textured, variance, 1), -1)
    gain = jnp.maximum(1 + relative, 0)
    noise = jnp.where(gain > 0, jnp.maximum(variance_change - relative * covariance, 0), 0)
    signal, kept = variance / NOISE, jnp.square(gain) * variance / (noise + NOISE)
    return jnp.log1p(signal).sum((1, 2)), jnp.log1p((signal - kept) / (1 + kept)).sum((1, 2))


def _blurred(picture: jax.Array, side: int) -> jax.Array:
    """[N, H, W] under a Gaussian window, wherever it lies in the picture: [N, H - side + 1, W - side + 1]."""
    offsets = np.arange(side) - (side - 1) / 2
    window = np.exp(-np.square(offsets) / (2 * (DEVIATION * side) ** 2))
    weights = jnp.asarray(window / window.sum(), picture.dtype)
    return _summed(_summed(picture, weights, 1), weights, 2)


def _summed(picture: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    """Weighted sums of neighbours along an axis, wherever they all lie in the picture."""
    # Shifted pictures are added up. XLA's convolution of a single channel takes twenty times as long on a CPU; and
    # without a loop it computes what goes into the gradient of every shift again.
    length = picture.shape[axis] - len(weights) + 1

    def add(total, tap):
        start, weight = tap
        return total + weight * jax.lax.dynamic_slice_in_dim(picture, start, length, axis), None

    nothing = jnp.zeros_like(jax.lax.slice_in_dim(picture, 0, length, axis=axis))
    return jax.lax.scan(add, nothing, (jnp.arange(len(weights)), weights))[0]
