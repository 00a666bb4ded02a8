"""Finds what is to be compared: images, their originals of the same names, and the codecs that they are from."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pim_jax.data import kinds
from pim_jax.files import is_system_file


class Candidate(NamedTuple):
    """What an image is from, such as a codec at a quality.

    Attributes:
      codec: the name of the folder, such as "jpeg".
      quality: the name of the folder in it, such as "30"; empty if there is none.
    """

    codec: str
    quality: str = ""

    def __str__(self):
        return f"{self.codec}/{self.quality}" if self.quality else self.codec


class Match(NamedTuple):
    """Two image files to compare, the name that they share, and what the second is from."""

    name: str
    reference: Path
    distorted: Path
    candidate: Candidate = Candidate("")


def pair_up(reference: Path, *others: Path) -> tuple[list[Match], list[str]]:
    """Pairs images with their originals by their path in the folder without its extension.

    In each of `others`, an image at `PATH` belongs to the original `PATH`. An image at `CODEC/QUALITY/PATH`, or
    `CODEC/PATH`, belongs to it too if there is none at `PATH`. So folders may be given one by one, or the folder that
    holds them.

    Args:
      reference: the original image, or a folder of them, searched as by `images_in`.
      others: the images to score, or folders.

    Returns:
      the pairs by name, those of one original one after the other, candidates in the order given; and a line for each
      picture that has no partner. A picture of a format that is not read can be in a pair, which then cannot be scored.

    Raises:
      OSError: a folder cannot be searched.
      ValueError: a path does not exist, one is a folder and the other a file, two images in one folder share a name,
        two candidates have one name, or there is no pair at all.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for file in ("a/1.png", "b/jpeg/1.jpg", "b/webp/1.webp", "b/webp/2.webp"):
      ...         Path(folder, file).parent.mkdir(exist_ok=True, parents=True)
      ...         Path(folder, file).touch()
      ...     pairs, unmatched = pair_up(Path(folder, "a"), Path(folder, "b"))
      >>> [(str(pair.candidate), pair.name, pair.distorted.name) for pair in pairs], len(unmatched)
      ([('jpeg', '1', '1.jpg'), ('webp', '1', '1.webp')], 1)
    """
    for path in (reference, *others):
        if not path.exists():
            raise ValueError(f"{path} does not exist; give two images or two folders")
    for path in others:
        if path.is_dir() != reference.is_dir():
            folder, file = (path, reference) if path.is_dir() else (reference, path)
            raise ValueError(f"{folder} is a folder and {file} is a file; give two images or two folders")
    if not reference.is_dir():
        names = _distinct(others)
        pairs = [
            Match(other.stem, reference, other, Candidate(name)) for other, name in zip(others, names, strict=True)
        ]
        return pairs, []

    originals = _by_name(reference)
    pairs, unmatched = [], []
    for folder, name in zip(others, _distinct(others), strict=True):
        found, missed = _pair_up(originals, reference, folder, name, alone=len(others) == 1)
        pairs += found
        unmatched += missed
    order = {candidate: place for place, candidate in enumerate(dict.fromkeys(pair.candidate for pair in pairs))}
    return sorted(pairs, key=lambda pair: (pair.name, order[pair.candidate])), list(dict.fromkeys(unmatched))


def _pair_up(
    originals: dict[str, list[Path]], reference: Path, folder: Path, name: str, *, alone: bool
) -> tuple[list[Match], list[str]]:
    """The pairs of one of the folders that were given, and what has no partner in it."""
    images = _without(reference, _by_name(folder), folder)
    within: dict[str, dict[str, str]] = defaultdict(dict)  # by the path to the candidate: names of originals, of images
    if images.keys() & originals.keys():
        within[""] = {original: original for original in images.keys() & originals.keys()}
    else:
        for image in images:
            prefix, original = _split(image, originals)
            if original:
                within[prefix][original] = image
    if not within:
        raise ValueError(
            f"no image in {reference} (which has {len(originals)}) shares its name with one in {folder} (which has "
            f"{len(images)}); images are paired by their path in the folder, without the extension"
        )
    used = {image for matched in within.values() for image in matched.values()}
    pairs, unmatched = [], []
    for prefix, matched in sorted(within.items(), key=lambda item: _natural(item[0])):
        candidate = _candidate(prefix, name, alone)
        pairs += [
            Match(original, originals[original][0], images[image][0], candidate) for original, image in matched.items()
        ]
        unmatched += _without_partner(originals, matched, folder / prefix)
    return pairs, [*unmatched, *_without_partner(images, used, reference)]


def _without(reference: Path, images: dict[str, list[Path]], folder: Path) -> dict[str, list[Path]]:
    """The images but for the originals, where their folder is in the one to be scored."""
    reference, folder = reference.resolve(), folder.resolve()
    if reference == folder or not reference.is_relative_to(folder):
        return images
    own = f"{reference.relative_to(folder).as_posix()}/"
    return {name: paths for name, paths in images.items() if not name.startswith(own)}


def _split(image: str, originals: dict[str, list[Path]]) -> tuple[str, str]:
    """The path to the candidate and the name of the original, which is the longest that there is; empty for none."""
    parts = image.split("/")
    for place in range(1, len(parts)):
        if (original := "/".join(parts[place:])) in originals:
            return "/".join(parts[:place]), original
    return "", ""


def _candidate(prefix: str, name: str, alone: bool) -> Candidate:
    if not prefix:
        return Candidate(name)
    codec, _, quality = (prefix if alone else f"{name}/{prefix}").rpartition("/")
    return Candidate(codec, quality) if codec else Candidate(quality)


def _distinct(paths: tuple[Path, ...]) -> list[str]:
    """A name for each path: its last part, or as many as tell it from the others."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(some[-count:]).lstrip("/") for some in parts]
        if len({*names}) == len(names):
            return names
    twice = next(path for path in paths if [other.resolve() for other in paths].count(path.resolve()) > 1)
    raise ValueError(f"{twice} is given twice: leave one out")


def _natural(text: str) -> list[str | int]:
    """For sorting: 5 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def _without_partner(ours: dict[str, list[Path]], theirs, folder: Path) -> Iterator[str]:
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
