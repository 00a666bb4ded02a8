"""The metric in units of what changes anyway: z made white with respect to consecutive frames.

Two consecutive frames look alike, though the camera, its noise and whatever moved have changed every pixel. Video that
was compressed and scaled down holds hardly any noise, so it is added, to each frame its own and of its own strength.
The average difference of the embeddings says how far each direction of z varies for reasons that do not matter.
Dividing by it (within-class covariance normalisation, with a pair of frames for a class) puts bands and dimensions on
one scale. Unless z is normalised after it, every direction of z then adds as much to the distance of an average pair,
but those that hardly ever vary add less: that is the regularisation. So this distance is below 1. With `pim-fast` it is
0.23. Whitening is linear, so it goes into the last layer of the encoders. It uses no ratings.

The components of a mixture share one such map. A divergence of mixtures is no squared distance, but it is one of their
means in units of z's noise, and those units become the same for all bands and directions.
"""

import contextlib
import hashlib
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import cache, metric, provenance
from pim_jax.data import pairs
from pim_jax.metric import Pim
from pim_jax.model import pim
from pim_jax.model.mixture import Mixture
from pim_jax.model.pim import ModelConfig, Params
from pim_jax.training.step import sensor_noise
from pim_jax.writing import replacing

NOISE = 0.025  # largest standard deviation of a frame's noise, for images in [0, 1]
REGULARISATION = 0.01  # of the mean variance, so that directions which hardly ever vary do not decide
_BATCH, _BATCHES, _CROP = 8, 32, 128


def check_model(model: ModelConfig) -> None:
    """Raises ValueError if the encoders of this model do not end in a linear layer, which is to take the whitening."""
    if model.head != "paper":
        raise ValueError(f"only models with head='paper' can be whitened, not head={model.head!r}")


def whitened(loaded: Pim, directory: Path) -> Pim:
    """The metric with z whitened. The covariances take a minute or more, so they are kept in the cache folder.

    Args:
      loaded: weights as they were trained.
      directory: a training set.

    Raises:
      FileNotFoundError, ValueError: the model cannot be whitened, or the training set cannot be read.
    """
    check_model(loaded.config)
    key = f"{provenance.digest(loaded.params)} {pairs.data_hash(directory)} {provenance.of(whitened)}"
    with contextlib.suppress(OSError, ValueError):  # there is none yet, it is damaged, or there is no place for it
        return _by(loaded, np.load(_file(key), allow_pickle=False))
    found = np.stack(covariances(loaded.config, loaded.params, directory))
    with contextlib.suppress(OSError):
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        with replacing(_file(key)) as temporary, open(temporary, "wb") as file:
            np.save(file, found)
    return _by(loaded, found)


def _file(key: str) -> Path:
    return cache.folder() / "whitening" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"


def _by(loaded: Pim, found: np.ndarray) -> Pim:
    params = whiten(loaded.params, list(found))
    return metric.from_params(loaded.config, params, name=loaded.name, commit=loaded.commit)


def covariances(model: ModelConfig, params: Params, directory: Path) -> list[np.ndarray]:
    """The mean outer product of the difference between the embeddings of consecutive frames with noise.

    Args:
      model: the networks.
      params: parameters of `model`.
      directory: a training set.

    Returns:
      [dimensions, dimensions] per band, over 256 pairs.
    """

    @jax.jit
    def of_batch(params, frames, key):
        images = sensor_noise(frames.astype(jnp.float32) / 255, NOISE, key)
        with jax.default_matmul_precision("highest"):
            features = pim.features(model, params, images.reshape(-1, *images.shape[2:]))
            return [_outer(mixture) for mixture in pim.marginal(model, params, features)]

    batches = itertools.islice(pairs.pairs(directory, batch=_BATCH, crop=_CROP, seed=0), _BATCHES)
    keys = jax.random.split(jax.random.key(0), _BATCHES)
    found = [of_batch(params, jnp.asarray(frames), key) for frames, key in zip(batches, keys, strict=True)]
    return [np.mean([np.asarray(one[band], np.float64) for one in found], 0) for band in range(len(found[0]))]


def _outer(frames: Mixture) -> jax.Array:
    """The mean outer product of z's difference between the first and the second half of a batch, [D, D].

    The k-th component is compared with the k-th, and counts by its weight.
    """
    components, dimensions = frames.means.shape[-2:]
    means = frames.means.reshape(2, -1, components, dimensions)
    weights = jax.nn.softmax(frames.logits).reshape(2, -1, components).mean(0)
    difference = means[0] - means[1]
    return jnp.einsum("pk,pki,pkj->ij", weights, difference, difference) / len(difference)


def whiten(params: Params, covariances: list[np.ndarray]) -> Params:
    """Returns parameters whose z is (C + r tr(C)/D)^(-1/2) times that of `params`, band by band.

    Args:
      params: of a model that `check_model` accepts.
      covariances: C per band, [D, D]; r is `REGULARISATION`.
    """
    params = jax.tree.map(lambda leaf: leaf, params)  # new dicts, the same arrays
    for band, covariance in enumerate(covariances):
        values, vectors = np.linalg.eigh(covariance)
        scale = (vectors / np.sqrt(values.clip(0) + REGULARISATION * values.mean())) @ vectors.T
        for encoder in ("marginal", "full"):
            last = params[encoder][f"band{band}"]["mean_out"]
            last |= {name: _scaled(leaf, scale) for name, leaf in last.items()}
    return params


def _scaled(leaf: jax.Array, scale: np.ndarray) -> jax.Array:
    """A kernel [..., K D] or a bias [K D] of means, every component's means times `scale`, [D, D]."""
    means = np.asarray(leaf, np.float64).reshape(-1, len(scale)) @ scale
    return jnp.asarray(means.reshape(leaf.shape), jnp.float32)
