"""What a benchmark compares: image files, as they are or changed in a way that can be named and repeated."""

import os
from pathlib import Path
from typing import NamedTuple

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


def read(picture: Picture) -> np.ndarray:
    """The picture as the metrics take it.

    Args:
      picture: what to read.

    Returns:
      [H, W, 3] float32 in [0, 1].

    Raises:
      OSError, ValueError: as `pim_jax.data.images.read`.
    """
    image = images.read(picture.path)
    if picture.side and image.shape[:2] != (picture.side, picture.side):
        image = _resize(image, picture.side)
    return corruptions.apply(image, picture.change) if picture.change else image


def size(picture: Picture) -> tuple[int, int]:
    """The height and width that `read` will return, from the file's header alone.

    Raises:
      OSError, ValueError: as `pim_jax.data.images.size`.
    """
    found = images.size(picture.path)
    return (picture.side, picture.side) if picture.side else found


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    """As PyTorch's image transforms do, with which BAPPS was scored: bilinear, with the filter widened, at 8 bits."""
    small = Image.fromarray(np.round(image * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32) / 255
