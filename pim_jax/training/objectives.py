"""The training objectives: the table of them, and the terms that they are made of (paper, sections 2.1 and 3.4).

An objective is added here: a function as `Objective.loss` describes it, and a line in `OBJECTIVES`.

Everything multi-scale is a list over bands. Features of x and y are [B, h, w, C]. The encoders flatten the positions of
a band that enter the loss: means of p(z|x,y) and samples z are [B, P, D], mixtures q(z|x) have [B, P, K, D]. The batch
B is the global batch: under `jit` with a sharded batch axis the B x B terms span all devices. All information is in
nats.

A multi-scale log-probability is the mean over the positions of a band, then the mean over bands. So `I`, `Rx` and `Ry`
are those of an average position.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from pim_jax.model import mixture
from pim_jax.model.mixture import Mixture

CONTRASTS = ("position", "band", "joint")

Features = list[jax.Array]


class Encoders(NamedTuple):
    """The two encoders of a model, as functions of features.

    Attributes:
      marginal: features of x -> q(z|x), [B, P, K, D] per band.
      full: features of x and of y -> the means of p(z|x,y), [B, P, D] per band.
    """

    marginal: Callable[[Features], list[Mixture]]
    full: Callable[[Features, Features], list[jax.Array]]


class Loss(Protocol):
    """From the outputs of the networks to what training minimises."""

    def __call__(
        self,
        encoders: Encoders,
        x: Features,
        y: Features,
        key: jax.Array,
        *,
        beta: jax.Array,
        contrast: str,
        mesh: Mesh | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss and what is logged of it.

        Args:
          encoders: of the model, with its parameters.
          x, y: features of both frames, [B, h, w, C] per band.
          key: of the noise in z.
          beta: the weight of compression, from 0 to 1. An objective without compression has no use for it.
          contrast: where the minibatch marginal is taken, see `minibatch_marginal`.
          mesh: the batch is sharded over it; None for one device.

        Returns:
          (loss, {name: scalar}). The names are those of the log: "I" is information, "Rx" and "Ry" are rates.
        """
        ...


class Objective(NamedTuple):
    """What training minimises.

    Attributes:
      loss: see `Loss`.
      samples_marginal: whether z is drawn from the marginal encoder. Its mixtures then have one component.
    """

    loss: Loss
    samples_marginal: bool


class Ixyz(NamedTuple):
    """The terms of equation 2 for a minibatch, each a scalar."""

    information: jax.Array  # lower-bounds I(X,Y; Z), at most log B
    rate_x: jax.Array  # upper-bounds I(Y; Z | X)
    rate_y: jax.Array  # upper-bounds I(X; Z | Y)


def ixyz(
    z: list[jax.Array],
    means: list[jax.Array],
    q_x: list[Mixture],
    q_y: list[Mixture],
    *,
    contrast: str,
    mesh: Mesh | None = None,
) -> Ixyz:
    """The three terms of IXYZ; the bound is `information - rate_x - rate_y`.

    Args:
      z: samples of p(z|x,y), [B, P, D] per band.
      means: means of p(z|x,y), [B, P, D] per band.
      q_x, q_y: marginal encoders at x and at y, [B, P, K, D] per band.
      contrast, mesh: see `minibatch_marginal`.

    References:
      Paper, equations 1 and 2.
    """
    own = _average([mixture.log_prob(mixture.gaussian(m), s) for m, s in zip(means, z, strict=True)])
    marginal = minibatch_marginal(z, means, contrast=contrast, mesh=mesh)
    log_q_x, log_q_y = (_average([mixture.log_prob(q, s) for q, s in zip(qs, z, strict=True)]) for qs in (q_x, q_y))
    return Ixyz(jnp.mean(own - marginal), jnp.mean(own - log_q_x), jnp.mean(own - log_q_y))


def ixyz_loss(terms: Ixyz, beta: jax.Array | float) -> jax.Array:
    """The Lagrange variant of equation 4, to be minimised: compression weighs `beta`, 1 gives minus the bound."""
    return -terms.information + beta * (terms.rate_x + terms.rate_y)


def infonce(z: list[jax.Array], q: list[Mixture], *, contrast: str, mesh: Mesh | None = None) -> jax.Array:
    """InfoNCE, to be maximised: how well q picks the z that belongs to each of its own images, at most log B.

    Args:
      z: samples of q(z|x), [B, P, D] per band.
      q: single Gaussians, [B, P, 1, D] per band: of y for InfoNCE, of x itself for single-variable InfoNCE.
      contrast, mesh: see `minibatch_marginal`.

    References:
      Paper, section 3.4.
    """
    means = [m.means[..., 0, :] for m in q]
    own = _average([mixture.log_prob(m, s) for m, s in zip(q, z, strict=True)])
    return jnp.mean(own - minibatch_marginal(z, means, contrast=contrast, mesh=mesh))


def minibatch_marginal(
    z: list[jax.Array], means: list[jax.Array], *, contrast: str, mesh: Mesh | None = None
) -> jax.Array:
    """log p̂(z_i) = logsumexp_j log p(z_i | j) - log B, for single Gaussians of unit variance.

    Args:
      z: [B, P, D] per band.
      means: [B, P, D] per band.
      contrast: "position" takes it at every position of every band and then the means over positions and bands; "band"
        after the mean over positions; "joint" after both means, once for the whole multi-scale tensor.
      mesh: the batch is sharded over it; None for one device.

    Returns:
      [B], averaged over positions and bands like every log-probability.
    """
    if contrast not in CONTRASTS:
        raise ValueError(f"contrast must be one of {', '.join(CONTRASTS)}, not {contrast!r}")
    if contrast == "position" and mesh is not None and mesh.size > 1:
        sums = _sharded_by_position(z, means, mesh)
    else:
        pairwise = [_pairwise_log_prob(s, m) for s, m in zip(z, means, strict=True)]  # [P, B, B] per band
        if contrast != "position":
            pairwise = [p.mean(0, keepdims=True) for p in pairwise]
        if contrast == "joint":
            pairwise = [sum(pairwise) / len(pairwise)]
        sums = [jax.nn.logsumexp(p, -1) for p in pairwise]
    log_batch = math.log(z[0].shape[0])
    bands = [jnp.mean(s, 0) - log_batch for s in sums]
    return sum(bands) / len(bands)


def _sharded_by_position(z: list[jax.Array], means: list[jax.Array], mesh: Mesh) -> list[jax.Array]:
    """logsumexp_j log p(z_i | j) at every position, [P, B] per band.

    A position is compared with the same position of other examples only. So each device takes some positions of the
    whole batch, and sends only what it has of the others. All bands are one array, as a band may have fewer positions
    than there are devices.
    """
    of_band = [band.shape[1] for band in z]

    def to_positions(bands):
        """[B / devices, P, D] per band -> [B, all P / devices, D]"""
        joined = jnp.concatenate(bands, 1)
        padded = jnp.pad(joined, ((0, 0), (0, -sum(of_band) % mesh.size), (0, 0)))
        return jax.lax.all_to_all(padded, "data", split_axis=1, concat_axis=0, tiled=True)

    def of_shard(z, means):
        sums = jax.nn.logsumexp(_pairwise_log_prob(to_positions(z), to_positions(means)), -1)
        sums = jax.lax.all_to_all(sums, "data", split_axis=1, concat_axis=0, tiled=True)
        return jnp.split(sums, np.cumsum(of_band))[: len(of_band)]  # without the padding

    batched = PartitionSpec("data")
    return jax.shard_map(of_shard, mesh=mesh, in_specs=(batched, batched), out_specs=PartitionSpec(None, "data"))(
        z, means
    )


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


def _sample(means: list[jax.Array], key: jax.Array) -> list[jax.Array]:
    """One sample of unit variance around every mean."""
    sizes = [m.size for m in means]
    noise = jnp.split(jax.random.normal(key, (sum(sizes),)), np.cumsum(sizes)[:-1])  # one draw compiles fastest
    return [m + n.reshape(m.shape) for m, n in zip(means, noise, strict=True)]


def _ixyz(encoders, x, y, key, *, beta, contrast, mesh=None):
    means = encoders.full(x, y)
    z = _sample(means, key)
    terms = ixyz(z, means, encoders.marginal(x), encoders.marginal(y), contrast=contrast, mesh=mesh)
    loss = ixyz_loss(terms, beta)
    return loss, {"loss": loss, "I": terms.information, "Rx": terms.rate_x, "Ry": terms.rate_y, "beta": beta}


def _infonce(encoders, x, y, key, *, beta, contrast, mesh=None):
    q_x, q_y = encoders.marginal(x), encoders.marginal(y)
    return _contrastive(q_x, q_y, key, contrast, mesh)


def _single_infonce(encoders, x, y, key, *, beta, contrast, mesh=None):
    q_x = encoders.marginal(x)
    return _contrastive(q_x, q_x, key, contrast, mesh)


def _contrastive(sampled: list[Mixture], judging: list[Mixture], key, contrast, mesh):
    z = _sample([mixture.mean(m) for m in sampled], key)
    information = infonce(z, judging, contrast=contrast, mesh=mesh)
    return -information, {"loss": -information, "I": information}


OBJECTIVES = {
    "ixyz": Objective(_ixyz, samples_marginal=False),
    "infonce": Objective(_infonce, samples_marginal=True),
    "single-infonce": Objective(_single_infonce, samples_marginal=True),
}
