"""From one video to its shots: runs of consecutive frames within a scene, in motion and lit, at a random height.

Everything streams: at any time two full frames and one downsampled shot are in memory, whatever the video's length.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pim_jax.data.frames import Frame, Unreadable, frames

# What is 1/30 s apart, give or take: 1/24 s, for films, is; 1/15 s is not.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 1 / 45, 1 / 20
_ROUNDING = 1e-3  # of time stamps, which in some containers are whole milliseconds

MAX_ASPECT = 16  # a file may come from anyone: the most that a frame's long side may be of its short one

# Scene changes, static and dark shots are judged on grey thumbnails: averaging hides noise and compression, which would
# look like motion. The levels are those of 8-bit grey. With these, 99.5 % of 600 cuts between real videos were found,
# and 4 of 331 one-second shots were cut.
_THUMBNAIL = (64, 48)
_CUT_CHANGE = 15.0  # a cut changes the picture by at least this,
_CUT_RATIO = 2.5  # and by this times more than the frames around it do: fast motion changes all of them alike
_SURE_CUT_CHANGE = 80.0  # no motion in 1/30 s does this; without it a flash, two cuts in a row, would hide itself
_STATIC_CHANGE = 0.1
_REPEATED_CHANGE = 0.02
_DARK_LEVEL = 12.0
_FLAT_DEVIATION = 4.0


class Shot(NamedTuple):
    """One shot, downsampled.

    Attributes:
      frames: [T, H, W, 3] uint8.
      times: the presentation time of each frame, in seconds.
      fps: the source's frame rate.
      original_size: (width, height) before downsampling.
      flaw: why the shot should not be used, in one word, or None.
      notes: what was done with the source that its user may not expect.
      entropy: what a generator is made from for whatever is random about this shot.
    """

    frames: np.ndarray
    times: list[float]
    fps: float
    original_size: tuple[int, int]
    flaw: str | None
    notes: tuple[str, ...]
    entropy: list[int]


class _Seen(NamedTuple):
    """A frame with its small grey thumbnail, float32, and the mean absolute difference of that from the one before, in
    grey levels (0 for the first frame)."""

    frame: Frame
    thumbnail: np.ndarray
    change: float


def shots(path: Path, source: str, length: int, heights: tuple[int, int], seed: int) -> Iterator[Shot]:
    """Yields the shots of a source, in order, including the unusable ones.

    Shots are consecutive runs of `length` frames that do not cross a scene change. A shot's flaw may be that it is
    "short" (the rest of a scene, less than half of `length`), "dark", "constant" (no content), "repeated" (most frames
    equal the one before) or "static".

    Args:
      path: a video file, or a folder of numbered frames.
      source: the source's name; with `seed` and the shot's number it decides the shot's height, and nothing else does.
      length: frames per shot, about 1/30 s apart.
      heights: smallest and largest height in pixels, inclusive. It is the *short side* that gets this size, so that a
        crop of a portrait video covers as much of the scene as that of a landscape one. Nothing is enlarged.
      seed: any non-negative integer.

    Yields:
      Shots.

    Raises:
      Unreadable: the source cannot be decoded (any further), or is smaller than the smallest height.
    """
    for number, group in groupby(_number_shots(_seen(path), length), key=lambda numbered: numbered[0]):
        small, times, thumbnails, changes = [], [], [], []
        entropy = _entropy(seed, source, number)
        for _, (frame, thumbnail, change) in group:
            if not small:
                original_size = frame.image.size
                size = _target_size(original_size, heights, np.random.default_rng(entropy))
            # The gap lets Pillow average whole pixels first where the picture is much larger: no visible difference,
            # and a third of the time for HD.
            small.append(np.asarray(frame.image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)))
            times.append(frame.time)
            thumbnails.append(thumbnail)
            changes.append(change)
        short = 2 * len(small) < length or len(small) < 2
        flaw = "short" if short else _flaw(np.stack(thumbnails), np.array(changes[1:]))
        yield Shot(np.stack(small), times, frame.fps, original_size, flaw, frame.notes, entropy)


def pair_up(times: Sequence[float]) -> tuple[list[int], int]:
    """Pairs the frames of a shot that are neighbours in time.

    Args:
      times: the frames' presentation times in seconds.

    Returns:
      the index of the first frame of each pair (the second is the next one; no frame is in two pairs), and how many
      times one frame and the next were dropped as a pair, being less than `SHORTEST_INTERVAL` or more than
      `LONGEST_INTERVAL` apart.

    Examples:
      >>> pair_up([0, 1 / 30, 2 / 30, 3 / 30])
      ([0, 2], 0)
      >>> pair_up([0, 2, 2 + 1 / 30, 2 + 2 / 30, 4])
      ([1], 2)
    """
    firsts, dropped, index = [], 0, 0
    while index + 1 < len(times):
        interval = times[index + 1] - times[index]
        if SHORTEST_INTERVAL - _ROUNDING <= interval <= LONGEST_INTERVAL + _ROUNDING:
            firsts.append(index)
            index += 1
        else:
            dropped += 1
        index += 1
    return firsts, dropped


def _seen(path: Path) -> Iterator[_Seen]:
    before = None
    for frame in frames(path):
        thumbnail = np.asarray(frame.image.resize(_THUMBNAIL, Image.Resampling.BOX).convert("L"), np.float32)
        yield _Seen(frame, thumbnail, 0.0 if before is None else float(np.abs(thumbnail - before).mean()))
        before = thumbnail


def _number_shots(seen: Iterable[_Seen], length: int) -> Iterator[tuple[int, _Seen]]:
    """Gives each frame the number of its shot: a new one at each scene change and after every `length` frames."""
    number, taken, before = 0, 0, deque(maxlen=2)
    for frame, after in pairwise(chain(seen, [None])):
        if taken == length or _is_cut(before, frame, after):
            number, taken = number + 1, 0
        yield number, frame
        taken += 1
        before.append(frame)


def _is_cut(before: Sequence[_Seen], seen: _Seen, after: _Seen | None) -> bool:
    """Whether a scene starts at a frame; two frames before it because one may be a repeated frame, with no change."""
    if not before:
        return False
    if seen.frame.image.size != before[-1].frame.image.size or seen.change > _SURE_CUT_CHANGE:
        return True
    around = max(neighbour.change for neighbour in (*before, after) if neighbour)
    return seen.change > _CUT_CHANGE and seen.change > _CUT_RATIO * around


def _flaw(thumbnails: np.ndarray, changes: np.ndarray) -> str | None:
    """Why a shot teaches nothing: the two frames of a pair are equal, or there is nothing in them."""
    if thumbnails.mean() < _DARK_LEVEL:
        return "dark"
    if thumbnails.std(axis=(1, 2)).mean() < _FLAT_DEVIATION:
        return "constant"
    if (changes < _REPEATED_CHANGE).mean() > 0.5:
        return "repeated"
    return "static" if changes.mean() < _STATIC_CHANGE else None


def _entropy(seed: int, source: str, number: int) -> list[int]:
    return [seed, int.from_bytes(hashlib.sha256(source.encode(errors="surrogateescape")).digest()), number]


def _target_size(size: tuple[int, int], heights: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    low, high = heights
    short = min(size)
    if short < low:
        raise Unreadable(f"too small: {size[0]}x{size[1]}, and the short side must have at least {low} pixels")
    if max(size) > MAX_ASPECT * short:
        raise Unreadable(f"{size[0]}x{size[1]} is no shape of a video: one side may be {MAX_ASPECT} times the other")
    side = int(rng.integers(low, min(high, short), endpoint=True))
    width, height = (round(side * length / short) for length in size)
    return width, height
