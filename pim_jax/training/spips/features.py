"""Features of many pairs, computed once and kept: they take most of the time of training SPIPS.

Each part of each few dozen pairs is a file in the user's cache folder, named by what it depends on: the part's weights,
the code, and the content of the pictures. A run that was stopped goes on where it was, models that share a part share
its files, and new weights of PIM leave the files of the other parts valid.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax import cache, provenance
from pim_jax.evaluation import pictures
from pim_jax.evaluation.batches import padded, split
from pim_jax.evaluation.measure import PIXELS_PER_BATCH
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.spips import parts
from pim_jax.spips.config import SpipsModel
from pim_jax.writing import replacing

PAIRS_PER_FILE = 64


def of_pairs(
    model: SpipsModel, pairs: Sequence[Pair], *, progress: Callable[[int], Any] = lambda count: None
) -> np.ndarray:
    """The features of pairs of pictures, as the score takes them.

    Args:
      model: what is compared.
      pairs: those of one reference best one after the other: it is then embedded once.
      progress: called with a number of pairs as they are done, once for each part.

    Returns:
      [pairs, features] float32.

    Raises:
      OSError, ValueError: a picture cannot be read, or is too small, or two of a pair differ in size; or as
        `pim_jax.spips.parts.load`.
    """
    weights = parts.load(model)
    smallest = parts.smallest_size(weights)
    for pair in pairs:
        if min(size := pictures.common_size(pair)) < smallest:
            raise ValueError(f"{pair.reference} is {size[0]} x {size[1]}; SPIPS needs {smallest} x {smallest} pixels")
    content = functools.cache(lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
    found = {}
    for part in weights:
        rows = []
        for some in split(pairs, PAIRS_PER_FILE):
            rows.append(_kept(_file(part, weights[part], some, content), part, weights[part], some))
            progress(len(some))
        found[part] = list(np.concatenate(rows).T)
    return np.stack(list(parts.streams(model, found).values()), axis=-1)


def _file(part: str, weights, pairs: Sequence[Pair], content) -> Path:
    sha = hashlib.sha256(f"{part} {parts.identity(part, weights)} {provenance.of(parts, pictures)}".encode())
    for picture in itertools.chain(*pairs):
        sha.update(f"{content(picture.path)} {picture.treatment}".encode())
    return cache.folder() / "spips" / f"{part}-{sha.hexdigest()[:32]}.npy"


def _kept(path: Path, part: str, weights, pairs: Sequence[Pair]) -> np.ndarray:
    """[pairs, maps], from the file if it is there."""
    if path.exists():
        return np.load(path, allow_pickle=False)
    found = _measure(part, weights, pairs)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, found)
    return found


def _measure(part: str, weights, pairs: Sequence[Pair]) -> np.ndarray:
    rows = []
    for reference, group in itertools.groupby(pairs, key=lambda pair: pair.reference):
        group = [pair.distorted for pair in group]
        x = _embed(part, weights, _read([reference]))
        pixels = np.prod(pictures.size(reference))
        length = max(1, min(len(group), PIXELS_PER_BATCH // int(pixels)))
        for some in split(group, length):
            y = _embed(part, weights, _read(padded(some, length)))
            rows.append(np.asarray(_compare(part, x, y))[: len(some)])
    return np.concatenate(rows)


def _read(of: Sequence[Picture]) -> jax.Array:
    return jnp.asarray(np.stack([pictures.read(picture) for picture in of]))


@jax.jit(static_argnums=0)
def _embed(part, weights, image):
    with jax.default_matmul_precision("highest"):
        return parts.embed(part, weights, image)


@jax.jit(static_argnums=0)
def _compare(part, x, y):
    return jnp.stack([parts.feature(m) for m in parts.compare(part, x, y)], axis=-1)
