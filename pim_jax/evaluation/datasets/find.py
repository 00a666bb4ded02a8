"""Finds the files of a data set whatever the case of their names, which differs between copies of it."""

import filecmp
import functools
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pim_jax.evaluation import compare
from pim_jax.files import is_system_file


def by_path(folder: Path) -> Callable[[str], Path]:
    """Finds files and folders by their paths, in upper or lower case.

    Args:
      folder: where to look; it need not exist.

    Returns:
      a function from a path in the folder to where it is. A path may have backslashes, as on Windows. Where several
      names differ only by case, the exact one is meant; where there is none, it is the path in the folder. It raises a
      ValueError where several differ only by case and none is exact.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "RefImgs").mkdir()
      ...     Path(folder, "RefImgs", "Bikes.BMP").touch()
      ...     by_path(Path(folder))("refimgs/bikes.bmp").name
      'Bikes.BMP'
    """

    @functools.cache
    def names(here: Path) -> dict[str, list[str]]:
        found = defaultdict(list)
        for name in sorted(os.listdir(here)) if here.is_dir() else ():
            found[_key(name)].append(name)
        return found

    def find(path: str) -> Path:
        if os.path.lexists(folder / path):
            return folder / path
        here = folder
        for part in PurePosixPath(path.replace("\\", "/")).parts:
            if not os.path.lexists(here / part):
                alike = names(here).get(_key(part), ())
                if not alike:
                    return folder / path
                if len(alike) > 1:
                    raise ValueError(f"{here / alike[0]} and {here / alike[1]} differ only by case; keep one as {part}")
                part = alike[0]
            here = here / part
        return here

    return find


def by_stem(folder: Path) -> Callable[[str], Path]:
    """Finds pictures in a folder and its subfolders by their names without extension, in upper or lower case.

    Args:
      folder: where to look; it need not exist.

    Returns:
      a function from a name to a path. Where several pictures have the name, it is the one with that extension; where
      there is none, it is the name in the folder. It raises a ValueError where several pictures that are not the same
      have the name.
    """
    found = defaultdict(list)
    for picture in compare.pictures_in(folder):
        found[_key(picture.stem)].append(picture)

    def find(name: str) -> Path:
        alike = found.get(_key(Path(name).stem), [])
        exact = [picture for picture in alike if picture.name == name]
        first, *others = exact or alike or [folder / name]
        for other in others:
            if not filecmp.cmp(first, other, shallow=False):
                raise ValueError(f"{first} and {other} both have the name {name} and are not the same; keep one")
        return first

    return find


def by_suffix(folder: Path, suffix: str) -> dict[str, Path]:
    """The files of one kind in a folder by their names without extension, those of the system left out.

    Args:
      folder: where to look; it need not exist.
      suffix: such as ".png", in upper or lower case.

    Raises:
      ValueError: two have the same name but for the case of the extension.
    """
    found = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        stem, ending = os.path.splitext(name)
        if ending.lower() == suffix and not is_system_file(name):
            if stem in found:
                raise ValueError(f"{found[stem]} and {folder / name} differ only by case; keep one")
            found[stem] = folder / name
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()  # macOS writes é as e and an accent
