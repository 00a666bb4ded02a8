"""Roots and powers whose gradient is 0, and not infinite, where they are 0."""

import jax
import jax.numpy as jnp


def root(x: jax.Array) -> jax.Array:
    """The square root.

    Args:
      x: [...]; less than 0 counts as 0.

    Examples:
      >>> float(root(jnp.array(9.0))), float(jax.grad(root)(jnp.array(0.0)))
      (3.0, 0.0)
    """
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def power(x: jax.Array, exponent: float) -> jax.Array:
    """x to a power.

    Args:
      x: [...]; less than 0 counts as 0.
      exponent: more than 0.

    Examples:
      >>> float(power(jnp.array(9.0), 1.5)), float(jax.grad(power)(jnp.array(0.0), 0.5))
      (27.0, 0.0)
    """
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1) ** exponent, 0)
