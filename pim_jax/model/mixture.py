"""Mixtures of Gaussians with unit variance. PIM has one at every position (paper, section 2.2)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Mixture(NamedTuple):
    """`K` components in `D` dimensions. The leading axes are batch and space. `K = 1` is a single Gaussian."""

    means: jax.Array  # [..., K, D]
    logits: jax.Array  # [..., K], unnormalised log-weights


def gaussian(means: jax.Array) -> Mixture:
    """Returns the mixture with one component at `means`, [..., D]."""
    return Mixture(means[..., None, :], jnp.zeros((*means.shape[:-1], 1), means.dtype))


def log_prob(mixture: Mixture, z: jax.Array) -> jax.Array:
    """Log-density in nats.

    Args:
      mixture: [..., K, D].
      z: [..., D].

    Returns:
      [...].

    Examples:
      >>> at_mean = log_prob(gaussian(jnp.zeros((1, 10))), jnp.zeros((1, 10)))
      >>> float(at_mean[0]) == float(jnp.float32(-5 * math.log(2 * math.pi)))
      True
    """
    squares = jnp.sum((z[..., None, :] - mixture.means) ** 2, -1)
    components = -0.5 * squares - 0.5 * z.shape[-1] * math.log(2 * math.pi)
    return jax.nn.logsumexp(components + jax.nn.log_softmax(mixture.logits), -1)


def mean(mixture: Mixture) -> jax.Array:
    """Expected value, [..., D]."""
    return jnp.sum(jax.nn.softmax(mixture.logits)[..., None] * mixture.means, -2)


class Noise(NamedTuple):
    """What makes a sample of a mixture random."""

    components: jax.Array  # Gumbel noise, [num_samples, ..., K]
    values: jax.Array  # Gaussian noise, [num_samples, ..., D]


def noise(like: Mixture, key: jax.Array, num_samples: int) -> Noise:
    """Draws the noise of `num_samples` samples of a mixture of this shape."""
    component_key, value_key = jax.random.split(key)
    components, values = (
        (num_samples, *shape) for shape in (like.logits.shape, (*like.means.shape[:-2], like.means.shape[-1]))
    )
    # Here and elsewhere, vectors are drawn and reshaped. On CPU, XLA takes many seconds to compile draws of high rank.
    return Noise(
        jax.random.gumbel(component_key, (math.prod(components),), like.logits.dtype).reshape(components),
        jax.random.normal(value_key, (math.prod(values),), like.means.dtype).reshape(values),
    )


def sample(mixture: Mixture, noise: Noise) -> jax.Array:
    """Returns samples, [num_samples, ..., D]. They are differentiable in the means, not in the logits."""
    # The largest of logits + Gumbel noise is a categorical draw.
    component = jnp.argmax(mixture.logits[None] + noise.components, -1)
    means = jnp.take_along_axis(mixture.means[None], component[..., None, None], -2)[..., 0, :]
    return means + noise.values


def symmetric_kl(p: Mixture, q: Mixture) -> jax.Array:
    """KL(p‖q) + KL(q‖p) of single Gaussians, in nats, [...]. It is the squared distance of the means.

    Raises:
      ValueError: a mixture has several components. There is no closed form for them.
    """
    if p.means.shape[-2] != 1 or q.means.shape[-2] != 1:
        raise ValueError("the divergence of mixtures has no closed form: use symmetric_kl_monte_carlo")
    return jnp.sum((p.means - q.means)[..., 0, :] ** 2, -1)


def symmetric_kl_monte_carlo(p: Mixture, q: Mixture, key: jax.Array, num_samples: int) -> jax.Array:
    """Estimates KL(p‖q) + KL(q‖p) from `num_samples` of each side, in nats (paper, equation 3), [...].

    Both sides have the same noise. So the estimate is symmetric in p and q up to rounding, and exactly 0 at p = q.
    """
    drawn = noise(p, key, num_samples)

    def kl(a, b):
        log_ratio = jax.vmap(lambda z: log_prob(a, z) - log_prob(b, z))(sample(a, drawn))
        return jnp.mean(log_ratio, 0)

    return kl(p, q) + kl(q, p)
