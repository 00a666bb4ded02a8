"""What many metrics compare two features of an image by: the similarity (2 a b + c) / (a^2 + b^2 + c).

Written as what it lacks to 1, it is exactly 0 for equal features, and keeps all of its digits for nearly equal ones.
"""

import jax
import jax.numpy as jnp


def dissimilarity(a: jax.Array, b: jax.Array, constant: float, masking: float = 0.0) -> jax.Array:
    """1 - (2 a b - m a b + c) / (a^2 + b^2 - m a b + c).

    Args:
      a, b: [...] features of two images.
      constant: c, more than 0. Features much smaller than its root count as equal.
      masking: m, less than 2. The larger, the more a difference counts where both features are large.

    Returns:
      [...], 0 for equal features. It is at most 1 if both have one sign.

    Examples:
      >>> [round(float(lack), 4) for lack in dissimilarity(jnp.array([3.0, 3.0]), jnp.array([3.0, 1.0]), 2.0)]
      [0.0, 0.3333]
    """
    return jnp.square(a - b) / (jnp.square(a) + jnp.square(b) - masking * a * b + constant)


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """The mean of maps, weighted; 0 where all weights are 0.

    Args:
      values, weights: [N, H, W], weights at least 0; either may have N = 1.

    Returns:
      [N].

    Examples:
      >>> weighted_mean(jnp.ones((1, 2, 2)), jnp.zeros((1, 2, 2))).tolist()
      [0.0]
    """
    total = weights.sum((1, 2))
    return (values * weights).sum((1, 2)) / jnp.where(total > 0, total, 1)
