"""From one video to its shots: runs of consecutive frames within a scene, in motion and lit, at a random height.

Everything streams: at any time two full frames and one downsampled shot are in memory, whatever the video's length.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageOps

from pim_jax.data import images

FRAME_RATE = 30  # PIM's pairs are 1/30 s apart
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED of FFmpeg, for which PyAV has no name

# A file may come from anyone. FFmpeg's formats for videos, none of which opens other files, as playlists do; the most
# pixels of a frame, twice those of 8K; and the most that a frame's long side may be of its short one.
_DEMUXERS = (
    "3gp,apng,asf,av1,avi,avs2,avs3,cavsvideo,dirac,dv,evc,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,"
    "mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,swf,vc1,vvc,webm,wtv,yuv4mpegpipe"
)
MAX_PIXELS = 2**26
MAX_ASPECT = 16

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}

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


class Unreadable(Exception):
    """A source that cannot be decoded, or not to its end."""


class Frame(NamedTuple):
    """One decoded frame.

    Attributes:
      image: RGB, upright, at the original size.
      time: presentation time in seconds.
      fps: the source's frame rate.
      thumbnail: small, grey, float32.
      change: mean absolute difference of the thumbnail from the frame before, in grey levels; 0 for the first frame.
    """

    image: Image.Image
    time: float
    fps: float
    thumbnail: np.ndarray
    change: float


class Shot(NamedTuple):
    """One shot, downsampled.

    Attributes:
      frames: [T, H, W, 3] uint8.
      start: presentation time of the first frame, in seconds.
      fps: the source's frame rate.
      original_size: (width, height) before downsampling.
      flaw: why the shot should not be used, in one word, or None.
    """

    frames: np.ndarray
    start: float
    fps: float
    original_size: tuple[int, int]
    flaw: str | None


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
    for number, group in groupby(_number_shots(_read_frames(path), length), key=lambda numbered: numbered[0]):
        small, thumbnails, changes = [], [], []
        for _, frame in group:
            if not small:
                first = frame
                size = _target_size(frame.image.size, heights, np.random.default_rng(_entropy(seed, source, number)))
            # The gap lets Pillow average whole pixels first where the picture is much larger: no visible difference,
            # and a third of the time for HD.
            small.append(np.asarray(frame.image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)))
            thumbnails.append(frame.thumbnail)
            changes.append(frame.change)
        short = 2 * len(small) < length or len(small) < 2
        flaw = "short" if short else _flaw(np.stack(thumbnails), np.array(changes[1:]))
        yield Shot(np.stack(small), first.time, first.fps, first.image.size, flaw)


def numbered_frames(folder: Path) -> list[Path]:
    """The frames of a folder of numbered images, in the order of their numbers.

    Args:
      folder: any folder.

    Returns:
      The images, if there are at least two and their names differ only in the number at the end; otherwise nothing.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("10.png", "9.png", "notes.txt"):
      ...         Path(folder, name).touch()
      ...     print([path.name for path in numbered_frames(Path(folder))])
      ['9.png', '10.png']
    """
    if not folder.is_dir():
        return []
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    matches = {path: re.fullmatch(r"(.*?)(\d+)", path.stem) for path in images}
    if len(images) < 2 or not all(matches.values()):
        return []
    numbers = {path: int(match[2]) for path, match in matches.items()}
    same_prefix = len({(match[1], path.suffix) for path, match in matches.items()}) == 1
    return sorted(images, key=numbers.get) if same_prefix and len(set(numbers.values())) == len(images) else []


def _read_frames(path: Path) -> Iterator[Frame]:
    before = None
    try:
        for image, time, fps in _read_folder(path) if path.is_dir() else _read_video(path):
            thumbnail = np.asarray(image.resize(_THUMBNAIL, Image.Resampling.BOX).convert("L"), np.float32)
            change = 0.0 if before is None else float(np.abs(thumbnail - before).mean())
            yield Frame(image, time, fps, thumbnail, change)
            before = thumbnail
    except Exception as error:  # whatever a decoder raises on a damaged file concerns that file only
        reason = getattr(error, "strerror", None) or error  # without the path, which is not the result's business
        raise Unreadable(f"{type(error).__name__}: {reason}") from error


def _read_video(path: Path) -> Iterator[tuple[Image.Image, float, float]]:
    with _open(path) as container:
        if not container.streams.video:
            raise ValueError("no video stream")
        stream = container.streams.video[0]
        _check_pixels(stream.width, stream.height)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the frames may be larger than the header says
        fps = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
        step = max(1, round(fps / FRAME_RATE))
        for index, frame in enumerate(container.decode(stream)):
            if index % step == 0:
                # Untagged HD is BT.709 by convention, but FFmpeg takes everything untagged for BT.601.
                untagged_hd = frame.colorspace == _UNSPECIFIED and frame.height >= 720
                pixels = frame.to_ndarray(format="rgb24", src_colorspace="ITU709" if untagged_hd else None)
                upright = np.rot90(pixels, round(frame.rotation / 90))
                time = index / fps if frame.time is None else frame.time
                yield Image.fromarray(np.ascontiguousarray(upright)), time, fps


def _open(path: Path):
    try:
        # With its protocol: without, FFmpeg would take a name such as "concat:a" for one.
        return av.open(f"file:{path}", options={"format_whitelist": _DEMUXERS})
    except av.error.ArgumentError as error:
        raise ValueError("it is in no format of videos that is read; playlists are none") from error


def _read_folder(folder: Path) -> Iterator[tuple[Image.Image, float, float]]:
    for index, path in enumerate(numbered_frames(folder)):
        try:
            with images.opened(path) as image:
                _check_pixels(*image.size)
                if image.mode.startswith("I"):
                    raise ValueError("it has more than 8 bits per channel; convert the frames to 8 bits")
                yield ImageOps.exif_transpose(image).convert("RGB"), index / FRAME_RATE, float(FRAME_RATE)
        except ValueError as error:
            raise ValueError(str(error).replace(f"{folder}/", "")) from error


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"frames of {width}x{height} are more than {MAX_PIXELS:,} pixels, the most that is read")


def _number_shots(frames: Iterable[Frame], length: int) -> Iterator[tuple[int, Frame]]:
    """Gives each frame the number of its shot: a new one at each scene change and after every `length` frames."""
    number, taken, before = 0, 0, deque(maxlen=2)
    for frame, after in pairwise(chain(frames, [None])):
        if taken == length or _is_cut(before, frame, after):
            number, taken = number + 1, 0
        yield number, frame
        taken += 1
        before.append(frame)


def _is_cut(before: Sequence[Frame], frame: Frame, after: Frame | None) -> bool:
    """Whether a scene starts at a frame; two frames before it because one may be a repeated frame, with no change."""
    if not before:
        return False
    if frame.image.size != before[-1].image.size or frame.change > _SURE_CUT_CHANGE:
        return True
    around = max(neighbour.change for neighbour in (*before, after) if neighbour)
    return frame.change > _CUT_CHANGE and frame.change > _CUT_RATIO * around


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
    return [seed, int.from_bytes(hashlib.sha256(source.encode()).digest()), number]


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
