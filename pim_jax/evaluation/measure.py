"""Measures pairs of pictures with several metrics: each read once and encoded once, in bounded memory.

This is the one way from files to distances. What was measured goes into the store before the next batch begins, so that
a run that is stopped loses no more than the batch at hand. All devices of this process share each batch.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pim_jax.data import images
from pim_jax.evaluation import pictures
from pim_jax.evaluation.batches import padded, split
from pim_jax.evaluation.pictures import Pair, Picture, Reader
from pim_jax.evaluation.store import Store, content, identity
from pim_jax.metrics import Metric

# Pictures are measured together up to this many pixels on a device: enough to keep an accelerator busy, few enough for
# its memory.
PIXELS_PER_BATCH = 2**18
# Larger pictures are not encoded apart: `embed` needs some 4 KB a pixel, while `distance` goes through them by regions.
PIXELS_ENCODED = 2**20


class Measured(NamedTuple):
    """What came of a pair.

    Attributes:
      index: of the pair.
      size: (height, width); None if the pictures do not open or differ in size.
      distances: by metric; those that could not be measured are not there.
      problems: why not, by picture, or by metric and pair.
      map: [H, W] float32 where maps were asked for.
    """

    index: int
    size: tuple[int, int] | None
    distances: dict[str, float]
    problems: dict[str, str]
    map: np.ndarray | None = None


def measure(
    metrics: Mapping[str, Metric],
    pairs: Sequence[Pair],
    store: Store,
    *,
    reader: Reader = images,
    done: Callable[[Measured], Any] = lambda result: None,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The distances of all pairs by all metrics: `by_size` and `stream` in arrays.

    Args:
      metrics, pairs, store, reader: as for `stream`.
      done: called with each result as soon as it is there.

    Returns:
      [pairs] float64 by metric, NaN where there is no distance; and why not, by picture, or by metric and pair.
    """
    distances = {name: np.full(len(pairs), np.nan) for name in metrics}
    problems: dict[str, str] = {}
    groups, failed = by_size(pairs, reader=reader)
    for result in itertools.chain(failed, stream(metrics, pairs, groups, store, reader=reader)):
        for name, distance in result.distances.items():
            distances[name][result.index] = distance
        problems |= result.problems
        done(result)
    return distances, problems


def by_size(
    pairs: Sequence[Pair],
    indices: Iterable[int] | None = None,
    *,
    reader: Reader = images,
    seen: Callable[[], Any] = lambda: None,
) -> tuple[dict[tuple[int, int], list[int]], list[Measured]]:
    """Sorts pairs by the size of their pictures, because each size is compiled once.

    Args:
      pairs: what to compare.
      indices: of the pairs to sort, by default all.
      reader: reads the files' headers.
      seen: called after each pair.

    Returns:
      indices by (height, width), and a result for each pair whose pictures do not open or differ in size.
    """
    groups, failed = defaultdict(list), []
    headers = _Headers(reader)
    for index in range(len(pairs)) if indices is None else indices:
        try:
            groups[pictures.common_size(pairs[index], headers)].append(index)
        except (OSError, ValueError) as error:
            failed.append(Measured(index, None, {}, {str(pairs[index].distorted): str(error)}))
        seen()
    return dict(groups), failed


def stream(
    metrics: Mapping[str, Metric],
    pairs: Sequence[Pair],
    groups: Mapping[tuple[int, int], Sequence[int]],
    store: Store,
    *,
    reader: Reader = images,
    batch: int | None = None,
    mapped: str | None = None,
) -> Iterator[Measured]:
    """Measures pairs with all metrics. What the store has is not measured again.

    Args:
      metrics: by the name that the results get.
      pairs: what to compare, those of one reference one after the other.
      groups: indices of the pairs to measure, from `by_size`.
      store: of distances measured earlier.
      reader: reads the files.
      batch: pairs to measure at once, at most; by default as many as make `PIXELS_PER_BATCH` on each device.
      mapped: the name of the `MapMetric` whose maps are wanted. Maps are not in the store, so it measures every pair.

    Yields:
      a result for every pair, as soon as all metrics have measured it.
    """
    identities = {name: identity(metric) for name, metric in metrics.items()}
    for size, members in groups.items():
        shared = len({pairs[index].reference for index in members}) < len(members)
        workers = {}
        for name, metric in metrics.items():
            way = "map" if name == mapped else "embed" if shared and size[0] * size[1] <= PIXELS_ENCODED else "distance"
            workers[name] = _WORKERS[way](metric, identities[name], size, len(members), batch, store)
        yield from _of_size(workers, pairs, members, size, reader)


class _Headers:
    """Sizes of files; of the last one, which may be a reference that many pairs share, the file is not opened again."""

    def __init__(self, reader: Reader):
        self.size = functools.lru_cache(maxsize=2)(reader.size)


def _of_size(
    workers: Mapping[str, "_Worker"],
    pairs: Sequence[Pair],
    members: Sequence[int],
    size: tuple[int, int],
    reader: Reader,
) -> Iterator[Measured]:
    at_hand = _Pictures(reader, size)
    chunks = list(split(members, max(worker.length for worker in workers.values())))
    for chunk, following in zip(chunks, [*chunks[1:], []], strict=True):
        results = {index: Measured(index, size, {}, {}) for index in chunk}
        for name, worker in workers.items():
            for some in split(chunk, worker.length):
                worker({index: pairs[index] for index in some}, at_hand, name, results)
        yield from results.values()
        needed = {picture for index in following for picture in pairs[index]}
        at_hand.forget(needed)
        for worker in workers.values():
            worker.forget(needed)


class _Pictures:
    """Pictures and what they are known by, read once and held while the batch at hand or the next one needs them."""

    def __init__(self, reader: Reader, size: tuple[int, int]):
        self._reader, self._size = reader, size
        self._pixels: dict[Picture, np.ndarray | Exception] = {}
        self._contents: dict[Picture, str | None] = {}

    def pixels(self, picture: Picture) -> np.ndarray:
        """As `pictures.read`; what went wrong once goes wrong again."""
        if picture not in self._pixels:
            try:
                found = pictures.read(picture, self._reader)
                if found.shape[:2] != self._size:
                    raise ValueError(f"{picture} changed while it was measured: run again")
                self._pixels[picture] = found
            except (OSError, ValueError) as error:
                self._pixels[picture] = error
        if isinstance(self._pixels[picture], Exception):
            raise self._pixels[picture]
        return self._pixels[picture]

    def fingerprints(self, pair: Pair) -> tuple[str, str] | None:
        """What a pair is known by in the store; None if a file cannot be read."""
        for picture in pair:
            if picture not in self._contents:
                try:
                    self._contents[picture] = f"{content(picture.path)} {picture.treatment}"
                except OSError:
                    self._contents[picture] = None
        x, y = (self._contents[picture] for picture in pair)
        return (x, y) if x and y else None

    def forget(self, needed: set[Picture]) -> None:
        self._pixels = {picture: found for picture, found in self._pixels.items() if picture in needed}
        self._contents = {picture: found for picture, found in self._contents.items() if picture in needed}


class _Worker:
    """One metric at work on pairs of one size, in batches of one length, which is compiled once.

    Attributes:
      length: pairs that are measured at once.
    """

    way = "distance"

    def __init__(
        self, metric: Metric, known_as: str, size: tuple[int, int], count: int, batch: int | None, store: Store
    ):
        self._metric, self._store = metric, store
        devices = jax.local_devices()
        pixels = getattr(metric, "pixels_per_batch", PIXELS_PER_BATCH)
        most = batch or len(devices) * max(1, pixels // (size[0] * size[1]))
        devices = devices[: min(most, count)]
        most -= most % len(devices)
        # The shortest length that needs no more batches than `most` would, and that the devices divide.
        self.length = _ceil(_ceil(count, _ceil(count, most)), len(devices)) * len(devices)
        # With the way and the length: another way to the same distance gives another last digit.
        self._known_as = f"{known_as} {self.way} in batches of {self.length}"
        self._sharding = NamedSharding(Mesh(np.array(devices), ("batch",)), PartitionSpec("batch"))

    def __call__(self, batch: Mapping[int, Pair], at_hand: _Pictures, name: str, results: dict[int, Measured]) -> None:
        """Adds what came of at most `length` pairs to their results."""
        keys = {index: found for index, pair in batch.items() if (found := at_hand.fingerprints(pair))}
        todo = dict(batch)
        for index, distance in zip(keys, self._known(list(keys.values())), strict=True):
            if distance is not None:
                results[index].distances[name] = distance
                del todo[index]
        for index, pair in list(todo.items()):
            try:
                for picture in pair:
                    at_hand.pixels(picture)
            except (OSError, ValueError) as error:
                results[index].problems[str(pair.distorted)] = str(error)
                del todo[index]
        if not todo:
            return
        try:
            distances, maps = self._measure(list(todo.values()), at_hand)
        except (ValueError, OSError, RuntimeError) as error:  # a size that it refuses, too little memory
            reason = str(error).splitlines()[0]
            if isinstance(error, jax.errors.JaxRuntimeError):
                reason += f" (in a batch of {self.length}; a smaller --batch needs less memory)"
            for index, pair in todo.items():
                results[index].problems[f"{name}: {pair.distorted}"] = reason
            return
        for place, index in enumerate(todo):
            results[index].distances[name] = float(distances[place])
            if maps is not None:
                results[index] = results[index]._replace(map=maps[place])
        self._keep(
            [(*keys[index], float(distance)) for index, distance in zip(todo, distances, strict=True) if index in keys]
        )

    def forget(self, needed: set[Picture]) -> None:
        """Drops what is kept of pictures that are not needed any more."""

    def _known(self, keys: list[tuple[str, str]]) -> list[float | None]:
        return self._store.get(self._known_as, keys)

    def _keep(self, rows: list[tuple[str, str, float]]) -> None:
        self._store.put(self._known_as, rows)

    def _measure(self, pairs: list[Pair], at_hand: _Pictures) -> tuple[np.ndarray, np.ndarray | None]:
        """The distances of at most `length` pairs, and their maps where there are any."""
        return np.asarray(self._metric.distance(*self._sides(pairs, at_hand)))[: len(pairs)], None

    def _sides(self, pairs: list[Pair], at_hand: _Pictures) -> list[jax.Array]:
        return [self._batch([at_hand.pixels(picture) for picture in side]) for side in zip(*pairs, strict=True)]

    def _batch(self, rows: list[np.ndarray]) -> jax.Array:
        """Rows as one array of `length`, shared out over the devices."""
        return self._shared(np.stack(padded(rows, self.length)))

    def _shared(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(array, self._sharding) if self._sharding.num_devices > 1 else jnp.asarray(array)


class _Mapper(_Worker):
    """Measures maps: their mean is the distance, and computing both would take twice as long."""

    way = "map"

    def _known(self, keys):
        return [None] * len(keys)

    def _keep(self, rows):
        pass

    def _measure(self, pairs, at_hand):
        maps = np.asarray(self._metric.distance_map(*self._sides(pairs, at_hand)))[: len(pairs)]
        return maps.mean((1, 2), dtype=np.float64).astype(np.float32), maps


class _Encoder(_Worker):
    """Encodes each picture once, and compares what comes out."""

    way = "embed"

    def __init__(self, *args):
        super().__init__(*args)
        self._encoded: dict[Picture, Any] = {}

    def forget(self, needed):
        self._encoded = {picture: z for picture, z in self._encoded.items() if picture in needed}

    def _measure(self, pairs, at_hand):
        new = dict.fromkeys(picture for pair in pairs for picture in pair if picture not in self._encoded)
        for some in split(list(new), self.length):
            z = self._metric.embed(self._batch([at_hand.pixels(picture) for picture in some]))
            # Rows are cut and joined by NumPy: every shape is another program for XLA.
            z = jax.tree.map(np.asarray, z)
            for row, picture in enumerate(some):
                self._encoded[picture] = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], z)
        x, y = zip(*padded(pairs, self.length), strict=True)
        return np.asarray(self._metric.between(self._joined(x), self._joined(y)))[: len(pairs)], None

    def _joined(self, side: Sequence[Picture]) -> Any:
        rows = [self._encoded[picture] for picture in side]
        return jax.tree.map(lambda *leaves: self._shared(np.concatenate(leaves)), *rows)


_WORKERS = {"distance": _Worker, "embed": _Encoder, "map": _Mapper}


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
