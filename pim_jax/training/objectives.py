"""The training objectives, as functions of the networks' outputs (paper, sections 2.1 and 3.4).

Everything multi-scale is a list over bands. A band's positions are flattened: means of p(z|x,y) and samples z are
[B, P, D], mixtures q(z|x) have [B, P, K, D]. The batch B is the global batch: under `jit` with a sharded batch axis the
B x B terms span all devices. All information is in nats.

A multi-scale log-probability is the mean over the positions of a band, then the mean over bands, so `I`, `Rx` and `Ry`
are those of an average position.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pim_jax.model import mixture
from pim_jax.model.mixture import Mixture

OBJECTIVES = ("ixyz", "infonce", "single-infonce")
CONTRASTS = ("position", "band", "joint")


class Ixyz(NamedTuple):
    """The terms of equation 2 for a minibatch, each a scalar."""

    information: jax.Array  # lower-bounds I(X,Y; Z), at most log B
    rate_x: jax.Array  # upper-bounds I(Y; Z | X)
    rate_y: jax.Array  # upper-bounds I(X; Z | Y)


def ixyz(z: list[jax.Array], means: list[jax.Array], q_x: list[Mixture], q_y: list[Mixture], *, contrast: str) -> Ixyz:
    """The three terms of IXYZ; the bound is `information - rate_x - rate_y`.

    Args:
      z: samples of p(z|x,y), [B, P, D] per band.
      means: means of p(z|x,y), [B, P, D] per band.
      q_x, q_y: marginal encoders at x and at y, [B, P, K, D] per band.
      contrast: where the minibatch marginal is taken, see `minibatch_marginal`.

    References:
      Paper, equations 1 and 2.
    """
    own = _average([mixture.log_prob(mixture.gaussian(m), s) for m, s in zip(means, z, strict=True)])
    marginal = minibatch_marginal(z, means, contrast=contrast)
    log_q_x, log_q_y = (_average([mixture.log_prob(q, s) for q, s in zip(qs, z, strict=True)]) for qs in (q_x, q_y))
    return Ixyz(jnp.mean(own - marginal), jnp.mean(own - log_q_x), jnp.mean(own - log_q_y))


def ixyz_loss(terms: Ixyz, beta: jax.Array | float) -> jax.Array:
    """The Lagrange variant of equation 4, to be minimised: compression weighs `beta`, 1 gives minus the bound."""
    return -terms.information + beta * (terms.rate_x + terms.rate_y)


def infonce(z: list[jax.Array], q: list[Mixture], *, contrast: str) -> jax.Array:
    """InfoNCE, to be maximised: how well q picks the z that belongs to each of its own images, at most log B.

    Args:
      z: samples of q(z|x), [B, P, D] per band.
      q: single Gaussians, [B, P, 1, D] per band: of y for InfoNCE, of x itself for single-variable InfoNCE.
      contrast: see `minibatch_marginal`.

    References:
      Paper, section 3.4.
    """
    means = [m.means[..., 0, :] for m in q]
    own = _average([mixture.log_prob(m, s) for m, s in zip(q, z, strict=True)])
    return jnp.mean(own - minibatch_marginal(z, means, contrast=contrast))


def minibatch_marginal(z: list[jax.Array], means: list[jax.Array], *, contrast: str) -> jax.Array:
    """log p̂(z_i) = logsumexp_j log p(z_i | j) - log B, for single Gaussians of unit variance.

    Args:
      z: [B, P, D] per band.
      means: [B, P, D] per band.
      contrast: "position" takes it at every position of every band and then the means over positions and bands; "band"
        after the mean over positions; "joint" after both means, once for the whole multi-scale tensor.

    Returns:
      [B], averaged over positions and bands like every log-probability.
    """
    if contrast not in CONTRASTS:
        raise ValueError(f"contrast must be one of {', '.join(CONTRASTS)}, not {contrast!r}")
    pairwise = [_pairwise_log_prob(s, m) for s, m in zip(z, means, strict=True)]  # [P, B, B] per band
    if contrast != "position":
        pairwise = [p.mean(0, keepdims=True) for p in pairwise]
    if contrast == "joint":
        pairwise = [sum(pairwise) / len(pairwise)]
    log_batch = math.log(z[0].shape[0])
    bands = [jnp.mean(jax.nn.logsumexp(p, -1), 0) - log_batch for p in pairwise]
    return sum(bands) / len(bands)


def _pairwise_log_prob(z: jax.Array, means: jax.Array) -> jax.Array:
    """log p(z_i | j) at every position, [P, B, B], through one matrix product a position.

    |z|² + |m|² - 2 z·m cancels in float32 where z is near m and both are long. Taking the batch's mean off shortens
    them; and the diagonal, where z is near m by construction, is computed from differences, so that information cannot
    exceed log B.
    """
    own = jnp.sum((z - means) ** 2, -1).T[:, :, None]
    centre = jax.lax.stop_gradient(means.mean(0, keepdims=True))
    z, means = z - centre, means - centre
    product = jnp.einsum("ipd,jpd->pij", z, means, precision="highest")
    squares = (z**2).sum(-1).T[:, :, None] + (means**2).sum(-1).T[:, None, :] - 2 * product
    squares = jnp.where(jnp.eye(len(z), dtype=bool)[None], own, squares)
    return -0.5 * squares - 0.5 * z.shape[-1] * math.log(2 * math.pi)


def _average(log_probs: list[jax.Array]) -> jax.Array:
    """[B, P] per band -> [B]: the mean over positions, then over bands."""
    return sum(p.mean(-1) for p in log_probs) / len(log_probs)
