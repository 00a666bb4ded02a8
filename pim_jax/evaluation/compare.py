"""Compares image files: pairs the images of two folders, and scores pairs with few compilations in bounded memory."""

import contextlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from pim_jax.data import images, kinds
from pim_jax.evaluation.batches import padded, split
from pim_jax.evaluation.store import Store, content, identity
from pim_jax.files import is_system_file
from pim_jax.metrics import Metric

T = TypeVar("T")

# Pairs are scored together up to this many pixels: enough to keep an accelerator busy, few enough for its memory.
PIXELS_PER_BATCH = 2**18


class Match(NamedTuple):
    """Two image files to compare, and the name that they share."""

    name: str
    reference: Path
    distorted: Path


class Result(NamedTuple):
    """What came of a pair: a distance, and a [H, W] map where asked for; or an error."""

    pair: Match
    size: tuple[int, int] | None = None
    distance: float | None = None
    map: np.ndarray | None = None
    error: str | None = None


def pair_up(a: Path, b: Path) -> tuple[list[Match], list[str]]:
    """Pairs two images, or the images of two folders by their path in the folder without its extension.

    Args:
      a: the reference image, or a folder, searched as by `images_in`.
      b: the image to score, or a folder.

    Returns:
      the pairs by name, and a line for each picture that has no partner. A picture of a format that is not read can be
      in a pair; `by_size` then gives a failed result.

    Raises:
      OSError: a folder cannot be searched.
      ValueError: a or b does not exist, one is a folder and the other a file, two images in one folder share a name, or
        there is no pair at all.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for file in ("a/1.png", "a/2.png", "b/1.jpg"):
      ...         Path(folder, file).parent.mkdir(exist_ok=True)
      ...         Path(folder, file).touch()
      ...     pairs, unmatched = pair_up(Path(folder, "a"), Path(folder, "b"))
      >>> [(pair.name, pair.distorted.name) for pair in pairs], len(unmatched)
      ([('1', '1.jpg')], 1)
    """
    for path in (a, b):
        if not path.exists():
            raise ValueError(f"{path} does not exist; give two images or two folders")
    if a.is_dir() != b.is_dir():
        folder, file = (a, b) if a.is_dir() else (b, a)
        raise ValueError(f"{folder} is a folder and {file} is a file; give two images or two folders")
    if not a.is_dir():
        return [Match(b.stem, a, b)], []

    references, distorted = _by_name(a), _by_name(b)
    names = sorted(references.keys() & distorted.keys())
    if not names:
        raise ValueError(
            f"no image in {a} (which has {len(references)}) shares its name with one in {b} (which has "
            f"{len(distorted)}); images are paired by their path in the folder, without the extension"
        )
    unmatched = [*_without_partner(references, distorted, b), *_without_partner(distorted, references, a)]
    return [Match(name, references[name][0], distorted[name][0]) for name in names], unmatched


def _without_partner(ours: dict[str, list[Path]], theirs: dict[str, list[Path]], folder: Path) -> Iterator[str]:
    for name, (image, *unread) in sorted(ours.items()):
        if name not in theirs:
            yield f"{image} has no partner in {folder}"
        for picture in unread:
            yield f"{picture} cannot be read ({kinds.kind(picture)}), and {image} takes its place"


def images_in(folder: Path) -> dict[str, Path]:
    """The images in a folder by path in the folder without the extension.

    Subfolders are searched, and links to folders are followed. Pictures of a format that is not read are among the
    images, so that none is left out without a word. One that is read comes before one of the same name that is not.

    Args:
      folder: where to look; it need not exist.

    Raises:
      OSError: a folder cannot be searched.
      ValueError: two images have the same name but for the extension.
    """
    return {name: paths[0] for name, paths in _by_name(folder).items()}


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """The image of each name; behind it, pictures of this name whose formats are not read."""
    found = defaultdict(list)
    for path in pictures_in(folder):
        # macOS writes é as e and an accent.
        found[unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())].append(path)
    for paths in found.values():
        if len(paths) > 1:
            paths.sort(key=_is_unread)
            if _is_unread(paths[0]) or not _is_unread(paths[1]):
                raise ValueError(f"{paths[0]} and {paths[1]} have the same name but for the extension; keep one")
    return found


def _is_unread(path: Path) -> bool:
    return kinds.kind(path) in kinds.UNREAD


def pictures_in(folder: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, sorted; those of the system are left out.

    Args:
      folder: where to look; it need not exist. Links to folders are followed, but for those that lead in a circle.

    Raises:
      OSError: a folder cannot be searched.
    """
    return sorted(_pictures(folder, frozenset())) if folder.is_dir() else []


def _pictures(folder: Path, above: frozenset) -> Iterator[Path]:
    status = folder.stat()
    identity = status.st_dev, status.st_ino
    if identity in above:
        return
    for path in folder.iterdir():
        if is_system_file(path.name):
            continue
        if path.is_dir():
            yield from _pictures(path, above | {identity})
        elif kinds.kind(path):
            yield path


def by_size(
    pairs: list[Match], size: Callable[[Path], tuple[int, int]] = images.size
) -> tuple[dict[tuple[int, int], list[Match]], list[Result]]:
    """Sorts pairs by the size of their images, because each size is compiled once.

    Args:
      pairs: what to compare.
      size: gives the (height, width) of a file.

    Returns:
      the pairs by (height, width), and a failed result for each pair whose images do not open or differ in size.
    """
    groups, failed = defaultdict(list), []
    for pair in pairs:
        try:
            groups[common_size(pair.reference, pair.distorted, size)].append(pair)
        except (OSError, ValueError) as error:
            failed.append(Result(pair, error=str(error)))
    return dict(groups), failed


def common_size(reference: T, distorted: T, size: Callable[[T], tuple[int, int]] = images.size) -> tuple[int, int]:
    """The (height, width) of two images.

    Args:
      reference, distorted: image files, or what `size` takes.
      size: gives the (height, width) of one.

    Raises:
      OSError, ValueError: one does not open, or they differ in size.
    """
    sizes = [size(image) for image in (reference, distorted)]
    if sizes[0] != sizes[1]:
        first, second = (f"{width}x{height}" for height, width in sizes)
        raise ValueError(
            f"{reference} is {first} and {distorted} is {second} (width x height): nothing is resized silently, so "
            "crop or resize one of them"
        )
    return sizes[0]


def score(
    metric: Metric,
    groups: dict[tuple[int, int], list[Match]],
    *,
    batch: int | None = None,
    with_maps: bool = False,
    read: Callable[[Path], np.ndarray] = images.read,
    store: Store | None = None,
) -> Iterator[Result]:
    """Scores pairs of images, size by size.

    Args:
      metric: from `pim_jax.metrics.load`.
      groups: pairs by (height, width), from `by_size`.
      batch: pairs to score at once, at most; by default as many as make `PIXELS_PER_BATCH`.
      with_maps: whether to compute maps too, which takes a `pim_jax.metrics.MapMetric`.
      read: gives the pixels of a file.
      store: of distances measured earlier, which are not measured again, unless maps are wanted. What is measured goes
        there before it is yielded.

    Yields:
      a result for every pair, as soon as there is one. An image that cannot be read, or a size that the metric refuses,
      gives a result with an error.
    """
    identified = identity(metric) if store and not with_maps else None
    for (height, width), pairs in groups.items():
        most = batch or max(1, PIXELS_PER_BATCH // (height * width))
        # Every length is compiled too, so a size has one: the shortest that needs no more batches than `most` would.
        length = _ceil(len(pairs), _ceil(len(pairs), most))
        for some in split(pairs, length):
            # With the length: another way to the same distance, such as that of `measure`, gives another last digit.
            key = identified and f"{identified} distance in batches of {length}"
            found, contents = _kept(store, key, some, (height, width)) if key else ({}, {})
            new = list(_score_batch(metric, [pair for pair in some if pair not in found], length, with_maps, read))
            if key:
                rows = ((result.pair, result.distance) for result in new if not result.error)
                store.put(key, [(*contents[pair], distance) for pair, distance in rows if pair in contents])
            found |= {result.pair: result for result in new}
            yield from (found[pair] for pair in some)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _kept(
    store: Store, key: str, pairs: list[Match], size: tuple[int, int]
) -> tuple[dict[Match, Result], dict[Match, tuple[str, str]]]:
    """What the store has of some pairs, and the contents of the files that can be read."""
    contents = {}
    for pair in pairs:
        with contextlib.suppress(OSError):
            contents[pair] = content(pair.reference), content(pair.distorted)
    known = zip(contents, store.get(key, list(contents.values())), strict=True)
    return {pair: Result(pair, size, value) for pair, value in known if value is not None}, contents


def _score_batch(metric, pairs: list[Match], length: int, with_maps: bool, read) -> Iterator[Result]:
    readable, x, y = [], [], []
    for pair in pairs:
        try:
            reference, distorted = read(pair.reference), read(pair.distorted)
        except (OSError, ValueError) as error:
            yield Result(pair, error=str(error))
        else:
            readable.append(pair)
            x.append(reference)
            y.append(distorted)
    if not readable:
        return
    x, y = (np.stack(padded(batch, length)) for batch in (x, y))
    try:
        if with_maps:  # a map's mean is the distance: computing both would take twice as long
            found = np.asarray(metric.distance_map(x, y))
            distances = found.mean((1, 2), dtype=np.float64).astype(np.float32)
        else:
            found = [None] * length
            distances = np.asarray(metric.distance(x, y))
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, jax.errors.JaxRuntimeError):  # most often, too little memory
            reason += f" (in a batch of {length}; a smaller --batch needs less memory)"
        yield from (Result(pair, error=reason) for pair in readable)
        return
    for pair, distance, difference in zip(readable, distances, found, strict=False):
        yield Result(pair, x.shape[1:3], float(distance), difference)
