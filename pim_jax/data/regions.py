"""What of a pair's frames is stored where that is not all of them: a region that training cuts its windows from.

A window of 64 x 64 is a ninth of a frame of 144 x 256, and the rest is read in vain. A region holds the windows at some
neighbouring places. It is chosen so that a window which is cut from it at random is equally likely at every place of
the frame, as is one that is cut from the whole frame. What is lost shows when a pair comes again: its windows are near
each other then.
"""

from typing import NamedTuple

import numpy as np


class Region(NamedTuple):
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


def choose(height: int, width: int, crop: int, margin: int, rng: np.random.Generator) -> Region:
    """Chooses a region at random, by the window that it is to hold.

    Along each side of the frame, the places of a window are divided into runs of at most `margin` + 1 places, as equal
    as can be. One run is chosen, with a probability that is proportional to its places. The region is what its windows
    cover.

    Args:
      height, width: the size of the frame.
      crop: the side of a window, not larger than the frame.
      margin: how many pixels a side of the region may be longer than one of the window.
      rng: where the choice comes from.

    Returns:
      The region, `crop` to `crop + margin` pixels a side.

    Examples:
      >>> region = choose(144, 256, 64, 32, np.random.default_rng(0))
      >>> region.height, region.width
      (90, 95)
    """
    top, tall = _run(height - crop + 1, margin + 1, rng)
    left, wide = _run(width - crop + 1, margin + 1, rng)
    return Region(top, left, tall + crop - 1, wide + crop - 1)


def _run(places: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    """Divides places into runs, and returns the first place and the length of one."""
    runs = -(-places // longest)
    starts = np.arange(runs + 1) * places // runs
    run = int(np.searchsorted(starts, rng.integers(places), side="right")) - 1
    return int(starts[run]), int(starts[run + 1] - starts[run])


def cut(frames: np.ndarray, region: Region) -> np.ndarray:
    """Returns the region of some frames.

    Args:
      frames: [N, H, W, C].
      region: lies within them.

    Returns:
      [N, region.height, region.width, C], a view.
    """
    top, left, height, width = region
    return frames[:, top : top + height, left : left + width]
