"""Measures many pairs of pictures with several metrics: every picture encoded once, nothing measured twice."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pim_jax.data import images
from pim_jax.evaluation import pictures
from pim_jax.evaluation.batches import padded, split
from pim_jax.evaluation.compare import PIXELS_PER_BATCH, common_size
from pim_jax.evaluation.pictures import Pair, Picture
from pim_jax.evaluation.store import Store, content, identity
from pim_jax.metrics import Metric

PIXELS_AT_ONCE = 2**21  # of the pictures that are held in memory, with what one metric makes of them


def measure(
    metrics: Mapping[str, Metric],
    pairs: Sequence[Pair],
    store: Store,
    *,
    done: Callable[[Sequence[int], Mapping[str, np.ndarray]], Any] = lambda indices, distances: None,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The distances of all pairs by all metrics.

    Pictures are grouped by size, because each size is compiled once. What the store has is not measured again, and what
    is measured goes into the store at once, so that an interrupted run loses little.

    Args:
      metrics: by the name that the results get.
      pairs: what to compare, those of one reference best one after the other.
      store: of distances measured earlier.
      done: called with the indices of pairs as soon as they are measured, and with the distances so far.

    Returns:
      [pairs] float64 by metric, NaN where there is no distance; and why not, by picture, pair or metric and pair.
    """
    distances = {name: np.full(len(pairs), np.nan) for name in metrics}
    identities = {name: identity(metric) for name, metric in metrics.items()}
    groups, fingerprints, problems = _prepare(pairs)
    comparable = {index for indices in groups.values() for index in indices}
    done([index for index in range(len(pairs)) if index not in comparable], distances)
    for (height, width), indices in groups.items():
        encoders = {name: _Encoder(metric, height * width) for name, metric in metrics.items()}
        later = Counter(picture for index in indices for picture in pairs[index])
        for chunk in split(indices, max(1, PIXELS_AT_ONCE // (height * width))):
            arrays: dict[Picture, np.ndarray | None] = {}
            later.subtract(picture for index in chunk for picture in pairs[index])
            keys = {index: tuple(fingerprints[picture] for picture in pairs[index]) for index in chunk}
            for name in metrics:
                known = store.get(identities[name], list(keys.values()))
                distances[name][chunk] = [np.nan if value is None else value for value in known]
                todo = [index for index, value in zip(chunk, known, strict=True) if value is None]
                _read(arrays, (picture for index in todo for picture in pairs[index]), problems)
                todo = [index for index in todo if all(arrays[picture] is not None for picture in pairs[index])]
                try:
                    found = encoders[name]([pairs[index] for index in todo], arrays)
                except (ValueError, OSError, RuntimeError) as error:  # a size that it refuses, too little memory
                    reason = str(error).splitlines()[0]
                    problems |= {f"{name}: {pairs[index].distorted}": reason for index in todo}
                else:
                    distances[name][todo] = found
                    rows = zip(todo, found, strict=True)
                    store.put(identities[name], [(*keys[index], float(value)) for index, value in rows])
                encoders[name].forget(later)
            done(chunk, distances)
    return distances, problems


def _prepare(pairs: Sequence[Pair]) -> tuple[dict[tuple[int, int], list[int]], dict[Picture, str], dict[str, str]]:
    """Indices of pairs by size of their pictures, fingerprints of pictures, and what is wrong with the other pairs."""
    groups, fingerprints, problems = defaultdict(list), {}, {}
    contents: dict[Path, str | None] = {}
    for index, pair in enumerate(pairs):
        for picture in pair:
            if picture.path not in contents:
                contents[picture.path] = _content(picture.path, problems)
            fingerprints[picture] = f"{contents[picture.path]} {picture.treatment}"
        if any(contents[picture.path] is None for picture in pair):
            continue
        try:
            groups[common_size(*pair, size=pictures.size)].append(index)
        except ValueError as error:
            problems[str(pair.distorted)] = str(error)
    return dict(groups), fingerprints, problems


def _content(path: Path, problems: dict[str, str]) -> str | None:
    """A digest of an image file; None, and a problem, for a file that is none."""
    try:
        images.size(path)
        return content(path)
    except (OSError, ValueError) as error:
        problems[str(path)] = str(error)
        return None


def _read(arrays: dict[Picture, np.ndarray | None], wanted: Iterable[Picture], problems: dict[str, str]) -> None:
    """Adds the pictures that are not there yet, None for one that cannot be read."""
    for picture in wanted:
        if picture not in arrays:
            try:
                arrays[picture] = pictures.read(picture)
            except (OSError, ValueError) as error:
                arrays[picture] = None
                problems[str(picture)] = str(error)


class _Encoder:
    """One metric at work on pictures of one size: encodes each once, in batches of one length, compiled once."""

    def __init__(self, metric: Metric, pixels: int):
        self._metric = metric
        self._batch = max(1, getattr(metric, "pixels_per_batch", PIXELS_PER_BATCH) // pixels)
        self._encoded: dict[Picture, Any] = {}

    def __call__(self, pairs: Sequence[Pair], arrays: Mapping[Picture, np.ndarray]) -> np.ndarray:
        """The distances of pairs, [pairs] float64."""
        found = []
        for batch in split(pairs, self._batch):
            new = dict.fromkeys(picture for pair in batch for picture in pair if picture not in self._encoded)
            for some in split(list(new), self._batch):
                z = self._metric.embed(
                    jnp.asarray(np.stack([arrays[picture] for picture in padded(some, self._batch)]))
                )
                # Rows are cut and joined by NumPy: every shape is another program for XLA.
                z = jax.tree.map(np.asarray, z)
                for row, picture in enumerate(some):
                    self._encoded[picture] = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], z)
            x, y = zip(*padded(batch, self._batch), strict=True)
            distances = self._metric.between(self._joined(x), self._joined(y))
            found.append(np.asarray(distances, np.float64)[: len(batch)])
        return np.concatenate(found) if found else np.empty(0)

    def forget(self, later: Mapping[Picture, int]) -> None:
        """Drops what no later pair needs."""
        self._encoded = {picture: z for picture, z in self._encoded.items() if later[picture]}

    def _joined(self, pictures: Sequence[Picture]) -> Any:
        rows = [self._encoded[picture] for picture in pictures]
        return rows[0] if len(rows) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *rows)
