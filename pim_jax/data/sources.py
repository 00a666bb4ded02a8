"""What prepare reads: videos, and folders of numbered frames, found among files and folders that a user names."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pim_jax.files import is_system_file

# In a folder only these are tried, so that a text file beside the videos is not reported as a broken video. A file that
# is given by name is always tried.
VIDEO_SUFFIXES = {
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
}  # fmt: skip
IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class BadArguments(ValueError):
    """The user asked for something that cannot be done; the message says what to do instead."""


class Sources(NamedTuple):
    """What was found.

    Attributes:
      paths: name to path of each source, sorted by name.
      refused: name to reason of each folder that looks like a source and cannot be read as one.
    """

    paths: dict[str, Path]
    refused: dict[str, str]


def find_sources(inputs: Iterable[Path]) -> Sources:
    """Finds the videos and the folders of numbered frames.

    System files are passed over. A folder that several links lead to is read once.

    Args:
      inputs: files and folders; folders are searched recursively, and through symbolic links.

    Returns:
      The sources. A source's name is its path from the input on, so that it stays the same when the input is moved:
      `clips/a.mp4` for `a.mp4` in the input `/data/clips`. Bytes of a name that are not UTF-8 are surrogates.

    Raises:
      BadArguments: an input does not exist or holds no video, or two sources would have the same name.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "clips").mkdir()
      ...     for name in ("b.mp4", "a.mov", "._a.mov", "notes.txt"):
      ...         Path(folder, "clips", name).touch()
      ...     print(list(find_sources([Path(folder, "clips")]).paths))
      ['clips/a.mov', 'clips/b.mp4']
    """
    found, refused = {}, {}
    for given in (Path(os.path.abspath(given)) for given in inputs):
        if not os.path.exists(given):  # which a name that is too long does not either
            raise BadArguments(f"{given} does not exist.")
        paths, problems = _search(given) if given.is_dir() else ([given], {})
        if not paths:
            raise BadArguments(
                f"no video in {given}: neither a folder of numbered frames (such as 0001.png, 0002.png) "
                f"nor a file ending in {', '.join(sorted(VIDEO_SUFFIXES))}."
                + "".join(f" {_name(path, given)}: {problem}." for path, problem in problems.items())
            )
        for path in paths:
            name = _name(path, given)
            if found.setdefault(name, path) != path:
                raise BadArguments(f"{found[name]} and {path} would both be called {name}: rename one of the inputs.")
        refused |= {_name(path, given): problem for path, problem in problems.items()}
    return Sources(dict(sorted(found.items())), dict(sorted(refused.items())))


def _name(path: Path, given: Path) -> str:
    # From the name's bytes, which unlike its characters do not depend on the user's locale.
    return os.fsencode(path.relative_to(given.parent).as_posix()).decode(errors="surrogateescape")


def _search(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The sources in a folder, and what looks like one, with the reason why it is none."""
    paths, problems = [], {}
    for directory, files in _walk(folder, problems):
        try:
            numbered = numbered_frames(directory)
        except ValueError as error:
            problems[directory] = str(error)
        else:
            if numbered.paths:
                paths.append(directory)
        paths += [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    return paths, problems


def _walk(folder: Path, problems: dict[Path, str]) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder in a folder with its files; those that only links lead to come last, under the link's name."""
    seen, waiting = set(), [folder]

    def note(error: OSError) -> None:
        problems[Path(error.filename)] = f"it cannot be opened: {error.strerror}"

    while waiting:
        for directory, folders, files in os.walk(waiting.pop(0), onerror=note):
            here = Path(directory)
            real = os.path.realpath(here)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not is_system_file(name))
            waiting += [here / name for name in folders if (here / name).is_symlink()]
            yield here, [here / name for name in files if not is_system_file(name)]


class NumberedFrames(NamedTuple):
    """The frames of a folder.

    Attributes:
      paths: number to path, in the order of the numbers.
      others: the names of the pictures that are none of the frames.
    """

    paths: dict[int, Path]
    others: list[str]


def numbered_frames(folder: Path) -> NumberedFrames:
    """The frames of a folder of numbered images.

    Names of frames differ only in the number at their end, and in the case of their suffix. There are at least two
    frames, and they are most of the pictures in the folder.

    Args:
      folder: any folder.

    Returns:
      The frames, or none.

    Raises:
      ValueError: pictures in the folder are numbered and still no frames, as their names do not say which and in which
        order.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("10.png", "9.PNG", "poster.png", "._9.png", "notes.txt"):
      ...         Path(folder, name).touch()
      ...     frames = numbered_frames(Path(folder))
      >>> [path.name for path in frames.paths.values()], frames.others
      (['9.PNG', '10.png'], ['poster.png'])
    """
    pictures = [path for path in folder.iterdir() if not is_system_file(path.name)]
    pictures = sorted(path for path in pictures if path.suffix.lower() in IMAGE_SUFFIXES)
    series = defaultdict(list)
    for path in pictures:
        if match := re.fullmatch(r"(.*?)(\d+)", path.stem, re.DOTALL):
            series[match[1], path.suffix.lower()].append((int(match[2]), path))
    longest = max(series.values(), key=len, default=[])
    if len(longest) < 2:
        return NumberedFrames({}, [path.name for path in pictures])
    if 2 * len(longest) <= len(pictures):
        others = [path for path in pictures if path not in dict(longest).values()]
        raise ValueError(
            f"its {len(pictures)} pictures are no one series of frames: their names differ in more than the number, as "
            f"{longest[0][1].name} and {others[0].name} do; put each series into a folder of its own"
        )
    paths = dict(sorted(longest))
    if len(paths) < len(longest):
        first, second = next((path, paths[number]) for number, path in longest if path != paths[number])
        raise ValueError(f"{first.name} and {second.name} have the same number: which one is the frame?")
    frames = set(paths.values())
    return NumberedFrames(paths, [path.name for path in pictures if path not in frames])
