"""Divisive normalisation of z. Where z changes much from place to place, it counts less, as in contrast masking.

z / sqrt(c + v) takes the place of z, and v is the variance of z among its neighbours. It is a function of one image. So
it is still an embedding that is compared, and the distance is still a squared difference.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.model import mixture
from pim_jax.model.mixture import Mixture

SUPPORT = 5  # samples a side of the box in which the variance is taken
RADIUS = SUPPORT // 2


def normalise(q: Mixture, constant: float) -> Mixture:
    """Divides the means of every position by sqrt(constant + the local variance of their weighted mean).

    Args:
      q: q(z|x), means [N, h, w, K, D].
      constant: c, positive. Variances far below it change nothing except the unit.

    Returns:
      The same shapes. The components of a position share its divisor.

    References:
      Carandini & Heeger, Normalization as a canonical neural computation, Nature Reviews Neuroscience 2012.

    Examples:
      >>> flat = mixture.gaussian(jnp.full((1, 4, 6, 10), 3.0))
      >>> float(normalise(flat, 4.0).means[0, 0, 0, 0, 0])
      1.5
    """
    scale = jax.lax.rsqrt(constant + local_variance(mixture.mean(q)))
    return q._replace(means=q.means * scale[..., None, None])


def local_variance(z: jax.Array) -> jax.Array:
    """The variance in the box around every position, averaged over dimensions.

    At the borders, the box is the part of it that lies within the image.

    Args:
      z: [N, h, w, D].

    Returns:
      [N, h, w], 0 or more.

    Examples:
      >>> local_variance(jnp.array([0.0, 2.0]).reshape(1, 1, 2, 1)).tolist()
      [[[1.0, 1.0]]]
    """
    n, height, width, dimensions = z.shape
    # Columns and dimensions share an axis: long inner loops.
    mean = z.reshape(n, height, width * dimensions)
    mean, variance = _pool(mean, jnp.zeros_like(mean), 1, 1)
    _, variance = _pool(mean, variance, 2, dimensions)
    return variance.reshape(z.shape).mean(-1)


def _pool(mean: jax.Array, variance: jax.Array, axis: int, step: int) -> tuple[jax.Array, jax.Array]:
    """Means and variances, [N, h, w * D] each, of boxes that are `SUPPORT` times as long along an axis.

    Neighbours lie `step` values apart. Variances are computed from differences to the mean, and not as a difference of
    squares. Squares cancel where z is long and hardly varies.
    """
    weights = [_along(weight, axis) for weight in np.repeat(_weights(mean.shape[axis] // step), step, 1)]
    means, variances = ([_shift(x, by, axis, step) for by in range(SUPPORT)] for x in (mean, variance))
    pooled = sum(w * m for w, m in zip(weights, means, strict=True))
    spread = sum(w * (v + jnp.square(m - pooled)) for w, m, v in zip(weights, means, variances, strict=True))
    return jax.lax.optimization_barrier((pooled, spread))  # or XLA computes them again for every neighbour


def _weights(length: int) -> np.ndarray:
    """[SUPPORT, length]: the weights of the samples in the box around each sample. They are 0 beyond the ends."""
    places = np.arange(length) + np.arange(SUPPORT)[:, None] - RADIUS
    within = ((places >= 0) & (places < length)).astype(np.float32)
    return within / within.sum(0)


def _along(weight: np.ndarray, axis: int) -> np.ndarray:
    """[length] -> [1, length, 1] or [1, 1, length]."""
    return weight.reshape([-1 if i == axis else 1 for i in range(3)])


def _shift(x: jax.Array, by: int, axis: int, step: int) -> jax.Array:
    """The samples `by - RADIUS` further on, with zeros beyond the ends. Neighbours lie `step` values apart."""
    padding = [(RADIUS * step, RADIUS * step) if i == axis else (0, 0) for i in range(x.ndim)]
    return jax.lax.slice_in_dim(jnp.pad(x, padding), by * step, by * step + x.shape[axis], axis=axis)
