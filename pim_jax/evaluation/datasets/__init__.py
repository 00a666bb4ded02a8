"""The evaluations of the paper, and the usual ones of image quality assessment: one reader per data set."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pim_jax.evaluation.datasets.benchmark import Benchmark


class _Reader(NamedTuple):
    """Where the reader of a benchmark is, and which options it takes.

    It is imported when it is used: readers take scipy and Matplotlib, which those who only need the names do not.
    """

    module: str
    function: str = "read"
    shifts: bool = False
    allow_missing: bool = False
    higher_is: bool = False


_READERS = {
    "bapps-2afc": _Reader("bapps", "read_2afc", shifts=True),
    "bapps-jnd": _Reader("bapps", "read_jnd", shifts=True),
    "clic": _Reader("clic", allow_missing=True),
    "iqa": _Reader("iqa", shifts=True, allow_missing=True, higher_is=True),
    "raid": _Reader("raid", shifts=True, allow_missing=True),
    "imagenet-c": _Reader("imagenet_c"),
}
NAMES = tuple(_READERS)


def read(
    name: str, data: Path, *, shifts: Sequence[int] = (0,), allow_missing: bool = False, higher_is: str | None = None
) -> "Benchmark":
    """Reads a data set as its authors distribute it.

    Args:
      name: one of `NAMES`.
      data: its folder; for "iqa" also a CSV file.
      shifts: by how many pixels to shift the references (Table 3); 0 is always measured, to compare the others with.
      allow_missing: whether to leave out what has no image, instead of refusing.
      higher_is: for a CSV file of "iqa", whether a higher score means that the image is "better" (the default) or
        "worse".

    Raises:
      FileNotFoundError, ValueError: the folder is not as expected; or there is no such benchmark, or it has no such
        option.
    """
    if name not in _READERS:
        raise ValueError(f"there is no benchmark {name!r}: choose from {', '.join(NAMES)}")
    if not data.exists():
        raise FileNotFoundError(f"{data} does not exist")
    reader, options = _READERS[name], {}
    if tuple(shifts) != (0,):
        options["shifts"] = shifts
    if allow_missing:
        options["allow_missing"] = allow_missing
    if higher_is:
        options["higher_is"] = higher_is
    for option, flag in (("shifts", "--shift"), ("allow_missing", "--allow-missing"), ("higher_is", "--higher-is")):
        if option in options and not getattr(reader, option):
            having = ", ".join(name for name, other in _READERS.items() if getattr(other, option))
            raise ValueError(f"{flag} is for {having}, not for {name}")
    return getattr(importlib.import_module(f"{__name__}.{reader.module}"), reader.function)(data, **options)
