"""The evaluations of the paper, and the usual ones of image quality assessment: one reader per data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pim_jax.evaluation.benchmarks.benchmark import Benchmark

NAMES = ("bapps-2afc", "bapps-jnd", "clic", "iqa", "raid", "imagenet-c")
_SHIFTED = ("bapps-2afc", "bapps-jnd", "iqa", "raid")
_PARTIAL = ("clic", "iqa", "raid")


def read(name: str, data: Path, *, shifts: Sequence[int] = (0,), allow_missing: bool = False) -> "Benchmark":
    """Reads a data set as its authors distribute it.

    Args:
      name: one of `NAMES`.
      data: its folder; for "iqa" also a CSV file.
      shifts: by how many pixels to shift the references (Table 3); 0 is always measured, to compare the others with.
      allow_missing: whether to leave out what has no image, instead of refusing.

    Raises:
      FileNotFoundError, ValueError: the folder is not as expected; or the benchmark has no such option.
    """
    # Here, not above: the readers take scipy and Matplotlib, which those who only need the names do not.
    from pim_jax.evaluation.benchmarks import bapps, clic, imagenet_c, iqa, raid

    if not data.exists():
        raise FileNotFoundError(f"--data {data} does not exist")
    if tuple(shifts) != (0,) and name not in _SHIFTED:
        raise ValueError(f"--shift is for {', '.join(_SHIFTED)}, not for {name}")
    if allow_missing and name not in _PARTIAL:
        raise ValueError(f"--allow-missing is for {', '.join(_PARTIAL)}, not for {name}")
    match name:
        case "bapps-2afc":
            return bapps.read_2afc(data, shifts)
        case "bapps-jnd":
            return bapps.read_jnd(data, shifts)
        case "clic":
            return clic.read(data, allow_missing=allow_missing)
        case "iqa":
            return iqa.read(data, shifts=shifts, allow_missing=allow_missing)
        case "raid":
            return raid.read(data, shifts=shifts, allow_missing=allow_missing)
        case "imagenet-c":
            return imagenet_c.read(data)
    raise ValueError(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
