"""What is compared: image files, as they are or changed in a way that can be named and repeated."""

import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from pim_jax.data import images
from pim_jax.evaluation import corruptions


class Picture(NamedTuple):
    """An image file, and what is done to it once it is read.

    Attributes:
      path: the file.
      change: what `corruptions.apply` does to it, or None.
      side: pixels a side to which it is resized before the change, or None to leave it as it is.
    """

    path: Path
    change: corruptions.Change | None = None
    side: int | None = None

    @property
    def treatment(self) -> str:
        """What is done to the file, in words; empty if nothing is."""
        steps = [f"{self.side}x{self.side}"] if self.side else []
        return ", ".join([*steps, str(self.change)] if self.change else steps)

    def __str__(self):
        return os.fspath(self.path) + (f" ({self.treatment})" if self.treatment else "")


class Pair(NamedTuple):
    """Two pictures of one size to compare."""

    reference: Picture
    distorted: Picture


class Reader(Protocol):
    """What reads image files: the module `pim_jax.data.images`, or an `isolated.Reader`."""

    def read(self, path: str | os.PathLike) -> np.ndarray: ...

    def size(self, path: str | os.PathLike) -> tuple[int, int]: ...


def read(picture: Picture, reader: Reader = images) -> np.ndarray:
    """The picture as the metrics take it.

    Args:
      picture: what to read.
      reader: reads the file.

    Returns:
      [H, W, 3] float32 in [0, 1].

    Raises:
      OSError, ValueError: as `pim_jax.data.images.read`.
    """
    image = reader.read(picture.path)
    if picture.side and image.shape[:2] != (picture.side, picture.side):
        image = _resize(image, picture.side)
    return corruptions.apply(image, picture.change) if picture.change else image


def size(picture: Picture, reader: Reader = images) -> tuple[int, int]:
    """The height and width that `read` will return, from the file's header alone.

    Raises:
      OSError, ValueError: as `pim_jax.data.images.size`.
    """
    found = reader.size(picture.path)
    return (picture.side, picture.side) if picture.side else found


def common_size(pair: Pair, reader: Reader = images) -> tuple[int, int]:
    """The (height, width) of the pictures of a pair.

    Raises:
      OSError, ValueError: one does not open, or they differ in size.
    """
    sizes = [size(picture, reader) for picture in pair]
    if sizes[0] != sizes[1]:
        first, second = (f"{width}x{height}" for height, width in sizes)
        raise ValueError(
            f"{pair.reference} is {first} and {pair.distorted} is {second} (width x height): nothing is resized "
            "silently, so crop or resize one of them"
        )
    return sizes[0]


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    """As PyTorch's image transforms do, with which BAPPS was scored: bilinear, with the filter widened, at 8 bits."""
    small = Image.fromarray(np.round(image * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32) / 255
