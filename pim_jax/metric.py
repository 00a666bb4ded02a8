"""The metric: how different do two images look?

Images are float sRGB in [0, 1], channels last. A distance is 0 for equal images, larger for images that look more
different, and has no unit. Everything here is pure. It goes through `jit`, `grad`, `vmap` and `shard_map`, over meshes
of all kinds, and through `jax.export`, also with a symbolic number of images. Only the checks of values (range, NaN)
need concrete arrays. They are skipped while JAX traces.

    from pim_jax import metric
    pim = metric.load()
    d = pim.distance(x, y)
"""

import dataclasses
import itertools
import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import batched, inputs, provenance, stored
from pim_jax.against import Against
from pim_jax.model import area, mixture, regions
from pim_jax.model import pim as networks
from pim_jax.model.convolution import PRECISIONS
from pim_jax.model.mixture import Mixture
from pim_jax.model.pim import ModelConfig

DEFAULT_WEIGHTS = "pim-fast"
DEFAULT_SEED = 0
DEFAULT_SAMPLES = 1

Embedding = tuple[Mixture, ...]
# The form of an embedding, of one band and no image. `inputs.embedding` would trace the networks in every `between`.
# It is in NumPy, as JAX would start its devices while this is imported.
_NOTHING: Any = {"means": np.empty((0,) * 5), "logits": np.empty((0,) * 4)}
_EMBEDDING = (Mixture(**_NOTHING),)


def _shapes(model: ModelConfig) -> networks.Params:
    # Before anything is built of them, however many scales, members and layers a file claims.
    layers = model.members * model.multiscale.count * (len(model.widths) + 4 * model.layers)
    if layers > stored.MAX_LAYERS:
        raise ValueError(f"their networks have about {layers:,} layers; at most {stored.MAX_LAYERS:,} are read")
    return networks.shapes(model)


FORMAT = {"pim": stored.Format(ModelConfig, _shapes)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Pim:
    """PIM with its weights: a frozen pytree whose leaves are the parameters.

    Make one with `load` or `from_params`. In a Flax module keep a method, `self.distance = pim.distance`: the weights
    then stay out of the module's state.

    Attributes:
      params: parameters of the networks, as in `pim_jax.model.pim`.
      config: what the networks look like (static).
      name: what the weights are called (static).
      digest: the first 12 hexadecimal digits of the SHA-256 of the parameters (static).
      commit: the commit of the code that trained them, if known (static).
      precision: of matrix products, "highest" unless relaxed (static).
    """

    params: networks.Params
    config: ModelConfig = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    digest: str = dataclasses.field(metadata={"static": True})
    commit: str | None = dataclasses.field(default=None, metadata={"static": True})
    precision: str = dataclasses.field(default="highest", metadata={"static": True})

    @property
    def smallest_size(self) -> int:
        """The least height and width of an image, in pixels."""
        return self.config.smallest_size

    def __repr__(self):
        commit = f", commit {self.commit}" if self.commit else ""
        return f"Pim({self.name!r}, weights {self.digest}{commit}, precision {self.precision!r})"

    def distance(
        self,
        x: jax.Array,
        y: jax.Array,
        mask: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
        num_samples: int = DEFAULT_SAMPLES,
    ) -> jax.Array:
        """The distance between images, averaged over all of their pixels or over those of a mask.

        With one mixture component (pim-fast, pim-1) it is the squared distance of the embeddings, exactly symmetric.
        With several (pim-5) it is a Monte-Carlo estimate of the symmetrised Kullback-Leibler divergence. The estimate
        is symmetric.
        It is the same again with the same key. It may be slightly negative for images that are nearly equal.

        Under a mask it is the weighted mean of the map, sum(mask * distance_map) / sum(mask). So a mask of ones changes
        nothing. A mask that is 0 everywhere is an error. Under `jit`, where values are not known, the distance is then
        0, and so is its gradient.

        Args:
          x, y: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1], of one height and width, at least
            `smallest_size`. Either may have N = 1 against a batch, and is then encoded once.
          mask: how much every pixel counts: [N, H, W], [N, H, W, 1] or [H, W], boolean or float in [0, 1]. N may be 1
            against a batch, or that of many masks of one pair.
          key: of the Monte-Carlo samples, from `jax.random.key` or `jax.random.PRNGKey`; `jax.random.key(0)` if none
            is given. Metrics with one component need none.
          num_samples: Monte-Carlo samples from each side at every position of every band, at least 1. The error
            averages out over positions: with one sample the standard error is about 1 % of the distance of 64 x 64
            pixels, and 0.2 % of 192 x 192.

        Returns:
          [N] float32, or [] for two single images and no mask or a single one.

        Raises:
          TypeError: an image or the mask is no array, or of a type that it cannot have.
          ValueError: shapes do not fit; `key` is not one key; `num_samples` is no whole number of at least 1; or,
            outside of `jit`, values are not finite or not in [0, 1], or a mask is 0 everywhere.

        References:
          Paper, equation 3 and section 2.2, on the scale of the released code.

        Examples:
          >>> config = ModelConfig(pyramid="none", widths=(3,))
          >>> pim = from_params(config, networks.init(config, jax.random.key(0)))
          >>> x = jax.random.uniform(jax.random.key(1), (16, 16, 3))
          >>> y = x.at[:, :4].set(0)
          >>> float(pim.distance(x, x)), bool(pim.distance(x, y, mask=jnp.ones((16, 16))) > 0)
          (0.0, True)
        """
        given = inputs.pair(self, x, y, mask)
        values = _distance(self, given.x, given.y, given.mask, _key(key), _samples(num_samples))
        return inputs.unbatch(values, given.single)

    def distance_map(
        self, x: jax.Array, y: jax.Array, *, key: jax.Array | None = None, num_samples: int = DEFAULT_SAMPLES
    ) -> jax.Array:
        """Where the images differ: the distance at every pixel, whose mean is `distance`.

        Every band's map is spread over the pixels by area, so that its mean is kept; coarse bands give coarse squares.

        Args, Raises: as `distance`.

        Returns:
          [N, H, W] float32, or [H, W] for two single images.
        """
        given = inputs.pair(self, x, y)
        return inputs.unbatch(_distance_map(self, given.x, given.y, _key(key), _samples(num_samples)), given.single)

    def embed(self, x: jax.Array) -> Embedding:
        """The representation of an image, to be compared with others by `between`.

        Large images are not cut into regions here, so the memory grows with them.

        Args:
          x: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1].

        Returns:
          A mixture per band, coarse to fine: means [N, h, w, K, dimensions], logits [N, h, w, K]. A single image gives
            N = 1.

        Raises:
          As `distance`.
        """
        return _embed(self, inputs.image(self, "x", x))

    def between(
        self,
        z_x: Embedding,
        z_y: Embedding,
        mask: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
        num_samples: int = DEFAULT_SAMPLES,
    ) -> jax.Array:
        """The distance between images given by their embeddings.

        Args:
          z_x, z_y: from `embed`, for images of one size; either may have N = 1 against a batch.
          mask, key, num_samples: as for `distance`.

        Returns:
          [N] float32.

        Raises:
          TypeError: they are no embeddings of PIM.
          ValueError: they are of images of different sizes, or of other weights; or as `distance`.
        """
        inputs.check_embeddings(_EMBEDDING, z_x, z_y)
        if mask is not None:
            mask = inputs.mask_of_embeddings(self.embed, z_x, z_y, mask)
        return _between(self, z_x, z_y, mask, _key(key), _samples(num_samples))

    def against(self, reference: jax.Array) -> Against:
        """The distance from a reference, as a function of the other image: `pim.against(reference)(x)`.

        The reference is encoded once, and its gradient is computed only where it is asked for. That of `distance` goes
        through both images, and takes 1.6 to 3 times as long. Values are those of `distance`, up to rounding. Large
        images are not cut into regions, so the memory grows with them.

        Args:
          reference: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1]; N may be 1 against a batch.

        Returns:
          A function of an image, and of the mask, key and num_samples of `distance`. It goes through `jit`, `grad` and
            `vmap`. It is also a pytree, which holds the metric and the representation of the reference.

        Raises:
          As `distance`.

        Examples:
          >>> config = ModelConfig(pyramid="none", widths=(3,))
          >>> pim = from_params(config, networks.init(config, jax.random.key(0)))
          >>> loss = pim.against(jnp.zeros((16, 16, 3)))
          >>> float(loss(jnp.zeros((16, 16, 3)))), bool(loss(jnp.ones((16, 16, 3))) > 0)
          (0.0, True)
        """
        return Against(self, _embed(self, inputs.image(self, "reference", reference)), np.shape(reference))


def load(weights: str | Path = DEFAULT_WEIGHTS, *, precision: str = "highest") -> Pim:
    """Returns the metric with trained weights.

    Args:
      weights: the name of weights in the package, or a folder: the working directory of `train.py`, one of its
        checkpoints (RUN@STEP), or what `python -m pim_jax.convert` or `release` wrote; on disk or in a bucket
        ("gs://bucket/path").
      precision: of matrix products: "highest" gives the same number on every device up to rounding. "high" and
        "default" let GPUs and TPUs multiply in fewer bits; CPUs use float32 all the same. With "bfloat16" the CNNs
        multiply in bfloat16 on every device. docs/performance.md tells what it changes.

    Raises:
      FileNotFoundError: no bundled weights and no folder have that name.
      OSError: the bucket cannot be reached.
      ValueError: the folder holds no weights or damaged ones, or `precision` is unknown.

    Examples:
      >>> load("pim-1").name
      'pim-1'
    """
    return from_weights(stored.load(weights, FORMAT), precision=precision)


def from_weights(weights: stored.Weights, *, precision: str = "highest") -> Pim:
    """Returns the metric with weights from `pim_jax.stored`.

    Args:
      weights: of PIM.
      precision: see `load`.

    Raises:
      ValueError: `precision` is unknown.
    """
    about = weights.about
    return _make(weights.model, weights.params, about["name"], weights.digest, about.get("commit"), precision)


def from_params(
    config: ModelConfig,
    params: networks.Params,
    *,
    name: str = "unnamed",
    commit: str | None = None,
    precision: str = "highest",
) -> Pim:
    """Returns the metric with given parameters, such as those of a training run in memory.

    Args:
      config: the networks.
      params: parameters of `config`, concrete float32 arrays.
      name: what to call the weights.
      commit: of the code that trained them.
      precision: see `load`.

    Raises:
      ValueError: `precision` is unknown.
    """
    return _make(config, params, name, provenance.digest(params), commit, precision)


def check_precision(precision: str) -> None:
    """Raises ValueError if there is no such precision of matrix products."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")


def _make(config, params, name, digest, commit, precision) -> Pim:
    check_precision(precision)
    return Pim(jax.tree.map(jnp.asarray, params), config, name, digest[:12], commit, precision)


@batched.of_images
@jax.jit
def _embed(pim: Pim, x):
    with jax.default_matmul_precision(pim.precision):
        features = networks.features(pim.config, pim.params, inputs.batch(x).astype(jnp.float32))
        return tuple(networks.embed(pim.config, pim.params, features))


def _noise_keys(pim, key, sizes) -> Sequence[jax.Array | None]:
    """A key for every position of every band, [1, h, w]; none where the distance has a closed form.

    Every image of a batch sees the same noise, so that its distance does not depend on the others.
    """
    if pim.config.mixtures == 1:
        return [None] * len(sizes)
    keys = jax.random.split(key, sum(math.prod(size) for size in sizes))
    return _bands(keys[None], sizes)


def _position_maps(pim, z_x, z_y, keys, num_samples) -> list[jax.Array]:
    """The distance at every position of every band, [N, h, w] each."""
    if pim.config.mixtures == 1:
        return [mixture.symmetric_kl(p, q) / pim.config.dimensions for p, q in zip(z_x, z_y, strict=True)]

    def at_position(p, q, position_key):
        return mixture.symmetric_kl_monte_carlo(p, q, position_key, num_samples)

    # The positions of all bands in one row: drawing the noise compiles once instead of once per band.
    p, q = jax.tree.map(_row, *z_x), jax.tree.map(_row, *z_y)
    batch = max(p.means.shape[0], q.means.shape[0])
    p, q = (jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape[1:])), m) for m in (p, q))
    values = jax.vmap(jax.vmap(at_position), in_axes=(0, 0, None))(p, q, _row(*keys)[0])
    return _bands(values, [band.shape[1:3] for band in keys])


def _bands(row: jax.Array, sizes) -> list[jax.Array]:
    """[N, positions] -> [N, h, w] per band, from sizes (h, w): the inverse of `_row`."""
    ends = list(itertools.accumulate(math.prod(size) for size in sizes))
    parts = jnp.split(row, ends[:-1], 1)
    return [part.reshape(row.shape[0], *size) for part, size in zip(parts, sizes, strict=True)]


def _row(*bands: jax.Array) -> jax.Array:
    """[N, h, w, …] per band -> [N, positions, …]"""
    return jnp.concatenate([band.reshape(band.shape[0], -1, *band.shape[3:]) for band in bands], 1)


def _plan(pim, x, y) -> regions.Plan:
    return regions.plan(pim.config, x.shape[-3:-1], max(len(inputs.batch(x)), len(inputs.batch(y))))


def _of_regions(pim, plan, x, y, key, num_samples, of_region):
    """What `of_region` makes of the kept maps of every region and its index, stacked."""
    x, y = inputs.batch(x), inputs.batch(y)
    keys = _noise_keys(pim, key, regions.sizes(plan))

    def region(index):
        def embed(image):
            return tuple(regions.embed(pim.config, pim.params, plan, image, index))

        z_x, z_y = inputs.both(embed, *(regions.cut(plan, image, index).astype(jnp.float32) for image in (x, y)))
        own_keys = keys if keys[0] is None else regions.context(plan, keys, index)
        return of_region(regions.keep(plan, _position_maps(pim, z_x, z_y, own_keys, num_samples), index), index)

    if plan.counts == (1, 1):
        return jax.tree.map(lambda leaf: leaf[None], region((0, 0)))
    return jax.lax.map(jax.checkpoint(region), regions.indices(plan))


@batched.of_embeddings
@jax.jit(static_argnames="num_samples")
def _between(pim, z_x, z_y, mask, key, num_samples):
    with jax.default_matmul_precision(pim.precision):
        sizes = [z.means.shape[1:3] for z in z_x]
        maps = _position_maps(pim, z_x, z_y, _noise_keys(pim, key, sizes), num_samples)
        if mask is not None:
            maps = [weight * m for weight, m in zip(_weights(mask, sizes), maps, strict=True)]
        mean = sum(m.mean((1, 2)) for m in maps) / len(maps)
        return mean if mask is None else area.masked(mean, _plane(mask))


@batched.of_images
@jax.jit(static_argnames="num_samples")
def _distance(pim, x, y, mask, key, num_samples):
    with jax.default_matmul_precision(pim.precision):
        plan = _plan(pim, x, y)
        sizes = regions.sizes(plan)
        weights = None if mask is None else _weights(mask, sizes)

        def sums_of(maps, index):
            if weights is not None:
                maps = [weight * m for weight, m in zip(regions.own(plan, weights, index), maps, strict=True)]
            return [m.sum((1, 2)) for m in maps]

        sums = _of_regions(pim, plan, x, y, key, num_samples, sums_of)
        mean = sum(total.sum(0) / math.prod(size) for total, size in zip(sums, sizes, strict=True)) / len(sums)
        return mean if mask is None else area.masked(mean, _plane(mask))


@batched.of_images
@jax.jit(static_argnames="num_samples")
def _distance_map(pim, x, y, key, num_samples):
    with jax.default_matmul_precision(pim.precision):
        plan = _plan(pim, x, y)
        kept = _of_regions(pim, plan, x, y, key, num_samples, lambda maps, index: maps)
        return sum(area.spread(m, x.shape[-3:-1]) for m in regions.join(plan, kept)) / len(kept)


def _weights(mask, sizes) -> list[jax.Array]:
    """How much every position of every band counts, [N, h, w] each."""
    found = {size: area.spread(_plane(mask), size) for size in dict.fromkeys(sizes)}
    return [found[size] for size in sizes]


def _plane(mask) -> jax.Array:
    return inputs.batch(mask)[..., 0]


def _key(key):
    """The key as JAX's newer kind, a typed key, whichever of the two kinds was given."""
    if key is None:
        return jax.random.key(DEFAULT_SEED)
    try:
        typed = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
        single = typed.shape == ()
    except (AttributeError, TypeError, ValueError):
        single = False
    if not single:
        raise ValueError(f"key must be one key, such as jax.random.key(0), not {' '.join(repr(key).split())}")
    return typed


def _samples(num_samples) -> int:
    try:
        count = operator.index(num_samples)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"num_samples must be a whole number, at least 1, not {num_samples!r}")
    return count
