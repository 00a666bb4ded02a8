"""Gradients of a picture by a filter of 3 x 3 pixels: a difference along one side, a weighted mean along the other."""

import jax
import jax.numpy as jnp

from pim_jax.baselines.powers import root

PREWITT = (1 / 3, 1 / 3)  # of the mean: the middle and either side
SCHARR = (10 / 16, 3 / 16)

Gradients = tuple[jax.Array, jax.Array]


def gradients(picture: jax.Array, weights: tuple[float, float]) -> Gradients:
    """The differences of the neighbours below and above, and right and left, with zeros around the picture.

    Args:
      picture: [N, H, W].
      weights: `PREWITT` or `SCHARR`.

    Returns:
      Two arrays, [N, H, W].

    Examples:
      >>> ramp = jnp.broadcast_to(jnp.arange(4.0), (1, 4, 4))
      >>> [float(gradient[0, 1, 1].round(4)) for gradient in gradients(ramp, SCHARR)]
      [0.0, 2.0]
    """
    middle, side = weights
    wide = jnp.pad(picture, ((0, 0), (1, 1), (1, 1)))
    down = wide[:, 2:] - wide[:, :-2]
    right = wide[:, :, 2:] - wide[:, :, :-2]
    return (
        middle * down[:, :, 1:-1] + side * (down[:, :, 2:] + down[:, :, :-2]),
        middle * right[:, 1:-1] + side * (right[:, 2:] + right[:, :-2]),
    )


def magnitude(components: Gradients) -> jax.Array:
    """The length of the gradient.

    Args:
      components: from `gradients`.

    Returns:
      [N, H, W].

    Examples:
      >>> magnitude((jnp.array([3.0]), jnp.array([4.0]))).tolist()
      [5.0]
    """
    return root(sum(jnp.square(component) for component in components))
