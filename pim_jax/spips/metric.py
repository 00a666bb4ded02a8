"""The hybrid metric: how different do two images look, by conventional maps, deep features and human answers?

The contract is that of `pim_jax.metric`: float sRGB in [0, 1], channels last; 0 for equal images, larger for images
that look more different; pure functions that go through `jit`, `grad`, `vmap` and `jax.export`, over meshes of all
kinds.

    from pim_jax.spips import metric
    spips = metric.load("spips")
    d = spips.distance(x, y)
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import batched, inputs, provenance, stored
from pim_jax.against import Against
from pim_jax.metric import check_precision
from pim_jax.model import area
from pim_jax.spips import parts, score
from pim_jax.spips.config import SpipsModel


def _shapes(model: SpipsModel) -> score.Params:
    return score.shapes(parts.count(model), model.hidden, model.members)


FORMAT = {"spips": stored.Format(SpipsModel, _shapes)}

Embedding = dict[str, Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Spips:
    """SPIPS with its weights: a frozen pytree whose leaves are the parameters.

    Make one with `load` or `from_params`.

    Attributes:
      params: parameters of the extractor and the MLP, as in `pim_jax.spips.score`.
      weights: of what it compares with, by part, as in `pim_jax.spips.parts`.
      config: what is compared (static).
      name: what the weights are called (static).
      digest: the first 12 hexadecimal digits of the SHA-256 of `params` (static).
      parts: the identity of every part (static).
      commit: the commit of the code that trained them, if known (static).
      precision: of matrix products, "highest" unless relaxed (static).
    """

    params: score.Params
    weights: dict[str, Any]
    config: SpipsModel = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    digest: str = dataclasses.field(metadata={"static": True})
    parts: tuple[tuple[str, str], ...] = dataclasses.field(metadata={"static": True})
    commit: str | None = dataclasses.field(default=None, metadata={"static": True})
    precision: str = dataclasses.field(default="highest", metadata={"static": True})

    def __repr__(self):
        commit = f", commit {self.commit}" if self.commit else ""
        on = ", ".join(f"{part} {identity}" for part, identity in self.parts)
        return f"Spips({self.name!r}, weights {self.digest} on {on}{commit}, precision {self.precision!r})"

    def distance(self, x: jax.Array, y: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images. One is a standard deviation of the scores that it was trained on.

        It is symmetric, because every map is, and never negative.

        Under a mask it is the weighted mean of the map, sum(mask * distance_map) / sum(mask). So a mask of ones changes
        nothing, and the kind of difference remains that of the whole images. A mask that is 0 everywhere is an error.
        Under `jit`, where values are not known, the distance is then 0, and so is its gradient.

        Args:
          x, y: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1], of one height and width, at least `smallest_size`.
            Either may have N = 1 against a batch, and is then encoded once.
          mask: how much every pixel counts: [N, H, W], [N, H, W, 1] or [H, W], boolean or float in [0, 1]. N may be 1
            against a batch, or that of many masks of one pair.

        Returns:
          [N] float32, or [] for two single images and no mask or a single one.

        Raises:
          TypeError: an image or the mask is no array, or of a type that it cannot have.
          ValueError: shapes do not fit; or, outside of `jit`, values are not finite or not in [0, 1], or a mask is 0
            everywhere.
        """
        given = inputs.pair(self, x, y, mask)
        return inputs.unbatch(_distance(self, given.x, given.y, given.mask), given.single)

    def distance_map(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Where the images differ: what every pixel contributes to the distance, which is the mean.

        The score is not a sum over pixels, so it is shared out: every map has its own part of the amount of difference,
        which its pixels share, and the gain scales all of them.

        Args, Raises: as `distance`.

        Returns:
          [N, H, W] float32, or [H, W] for two single images.
        """
        given = inputs.pair(self, x, y)
        return inputs.unbatch(_distance_map(self, given.x, given.y), given.single)

    def embed(self, x: jax.Array) -> Embedding:
        """What is compared of an image, to be compared with others by `between`.

        Args:
          x: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1].

        Returns:
          A pytree by part, with N leading. A single image gives N = 1.

        Raises:
          As `distance`.
        """
        return _embed(self, inputs.image(self, "x", x))

    def between(self, z_x: Embedding, z_y: Embedding, mask: jax.Array | None = None) -> jax.Array:
        """The distance between images given by their embeddings.

        Args:
          z_x, z_y: from `embed`, for images of one size; either may have N = 1 against a batch.
          mask: as for `distance`.

        Returns:
          [N] float32.

        Raises:
          TypeError: they are no embeddings.
          ValueError: they are of images of different sizes, or of other weights; or as `distance`.
        """
        inputs.check_embeddings(inputs.embedding(self), z_x, z_y)
        if mask is not None:
            mask = inputs.mask_of_embeddings(self.embed, z_x, z_y, mask)
        return _between(self, z_x, z_y, mask)

    def against(self, reference: jax.Array) -> Against:
        """The distance from a reference, which is encoded once, as a function of the other image and a mask.

        Args:
          reference: [N, H, W, 3] or [H, W, 3] float sRGB in [0, 1]; N may be 1 against a batch.

        Raises:
          As `distance`.
        """
        return Against(self, _embed(self, inputs.image(self, "reference", reference)), np.shape(reference))

    @property
    def smallest_size(self) -> int:
        """The least height and width of an image, in pixels."""
        return parts.smallest_size(self.weights)


def load(weights: str | Path = "spips", *, precision: str = "highest") -> Spips:
    """Returns the metric with trained weights.

    Args:
      weights: "spips", "spips-pim", or a folder that `train.py configs/spips_*.py` wrote.
      precision: as for `pim_jax.metric.load`.

    Raises:
      FileNotFoundError: no bundled weights and no folder have that name.
      ValueError: the folder holds no weights of SPIPS or damaged ones, they were trained with other weights of PIM than
        those installed, or `precision` is unknown.
      ImportError: the classifier's weights or dm-pix are not installed: `pip install 'pim-jax[benchmarks]'`.
    """
    return from_weights(stored.load(weights, FORMAT), precision=precision)


def from_weights(weights: stored.Weights, *, precision: str = "highest") -> Spips:
    """Returns the metric with weights of SPIPS from `pim_jax.stored`; arguments and errors are those of `load`."""
    about = weights.about
    spips = _make(weights.model, weights.params, about["name"], weights.digest, about.get("commit"), precision)
    trained, here = about["parts"].get("pim"), dict(spips.parts).get("pim")
    if trained != here:
        raise ValueError(
            f"the weights {about['name']} were trained on {weights.model.pim} of digest {trained}, and here it has "
            f"{here}: train them again with train.py configs/spips_pim.py, or install the PIM that they were trained on"
        )
    return spips


def from_params(
    config: SpipsModel,
    params: score.Params,
    *,
    name: str = "unnamed",
    commit: str | None = None,
    precision: str = "highest",
) -> Spips:
    """Returns the metric with given parameters of the extractor and the MLP.

    Args:
      config: what is compared.
      params: parameters of `config`, concrete float32 arrays.
      name: what to call the weights.
      commit: of the code that trained them.
      precision: see `load`.

    Raises:
      As `load`, for what the parts need.
    """
    return _make(config, params, name, provenance.digest(params), commit, precision)


def _make(config, params, name, digest, commit, precision) -> Spips:
    check_precision(precision)
    weights = parts.load(config, precision=precision)
    identities = tuple((part, parts.identity(part, weights[part])) for part in weights)
    return Spips(jax.tree.map(jnp.asarray, params), weights, config, name, digest[:12], identities, commit, precision)


def _embeddings(spips: Spips, x) -> Embedding:
    return {part: parts.embed(part, weights, x) for part, weights in spips.weights.items()}


def _maps(spips: Spips, z_x, z_y) -> list[parts.Map]:
    compared = {part: parts.compare(part, z_x[part], z_y[part]) for part in spips.weights}
    return list(parts.streams(spips.config, compared).values())


def _features(maps: list[parts.Map]) -> jax.Array:
    """[N, features]"""
    return jnp.stack([parts.feature(m) for m in maps], axis=-1)


def _score(spips, maps, mask):
    features = _features(maps)
    if mask is None:
        return score.distance(spips.params, features)
    mask = inputs.batch(mask)[..., 0]
    contributions = score.slopes(spips.params, features) * _features([parts.weighed(m, mask) for m in maps])
    return area.masked(contributions.sum(-1), mask)


def _both(spips, x, y):
    x, y = (inputs.batch(image).astype(jnp.float32) for image in (x, y))
    return inputs.both(lambda image: _embeddings(spips, image), x, y)


@batched.of_images
@jax.jit
def _embed(spips, x):
    with jax.default_matmul_precision(spips.precision):
        return _embeddings(spips, inputs.batch(x).astype(jnp.float32))


@batched.of_embeddings
@jax.jit
def _between(spips, z_x, z_y, mask):
    with jax.default_matmul_precision(spips.precision):
        return _score(spips, _maps(spips, z_x, z_y), mask)


@batched.of_images
@jax.jit
def _distance(spips, x, y, mask):
    with jax.default_matmul_precision(spips.precision):
        return _score(spips, _maps(spips, *_both(spips, x, y)), mask)


@batched.of_images
@jax.jit
def _distance_map(spips, x, y):
    with jax.default_matmul_precision(spips.precision):
        maps = _maps(spips, *_both(spips, x, y))
        slopes = score.slopes(spips.params, _features(maps))
        return sum(parts.spread(m, slopes[:, i], x.shape[-3:-1]) for i, m in enumerate(maps))
