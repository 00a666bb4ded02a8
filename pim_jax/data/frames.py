"""From one source to its frames: upright, in RGB, at their times, about 1/30 s apart.

Everything streams: at any time two full frames are in memory, whatever the video's length.
"""

import functools
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from PIL import Image, ImageOps

from pim_jax.data import images
from pim_jax.data.sources import numbered_frames

FRAME_RATE = 30  # PIM's pairs are 1/30 s apart

# A file may come from anyone. FFmpeg's formats for videos, none of which opens other files, as playlists do; and the
# most pixels of a frame, twice those of 8K.
_DEMUXERS = (
    "3gp,apng,asf,av1,avi,avs2,avs3,cavsvideo,dirac,dv,evc,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,"
    "mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,swf,vc1,vvc,webm,wtv,yuv4mpegpipe"
)
MAX_PIXELS = 2**26

_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_PEEKED_PACKETS = 200  # in so many, a film beside a cover has shown its second frame

# FFmpeg's numbers (AVCOL_...), for which PyAV has no names.
_UNSPECIFIED = 2
_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic", 16: "HDR, PQ", 17: "digital cinema", 18: "HDR, HLG"}
_ICTCP = 14

_INTERLACED = "interlaced: of each frame only the top field was read"
_UPRIGHT = 50  # a display matrix's turn of 1 degree and less is none, as for players: its tangent is 1/57


class Unreadable(Exception):
    """A source that cannot be decoded, or not to its end, or whose pixels have no meaning as sRGB."""


class Frame(NamedTuple):
    """One decoded frame.

    Attributes:
      image: RGB, upright, at the original size.
      time: presentation time in seconds.
      fps: the source's frame rate.
      notes: what was done with the source that its user may not expect.
    """

    image: Image.Image
    time: float
    fps: float
    notes: tuple[str, ...]


def frames(path: Path) -> Iterator[Frame]:
    """Yields the frames of a source; of those that follow each other faster than 1/30 s, every so many.

    A video's cover and other stills in it are no film; of several films it is the default one, else that of the most
    pixels, else the first. Of interlaced frames, which mix two moments, the top field is taken, half of the lines.

    Args:
      path: a video file, or a folder of numbered frames, which are 1/30 s apart.

    Yields:
      Frames.

    Raises:
      Unreadable: the source cannot be decoded (any further), or is HDR or otherwise not made for sRGB.
    """
    try:
        yield from _read_folder(path) if path.is_dir() else _read_video(path)
    except (Unreadable, GeneratorExit):
        raise
    except Exception as error:  # whatever a decoder raises on a damaged file concerns that file only
        reason = getattr(error, "strerror", None) or error  # without the path, which is not the result's business
        raise Unreadable(f"{type(error).__name__}: {reason}") from error


def _read_video(path: Path) -> Iterator[Frame]:
    with _open(path) as container:
        stream, notes = _film(path, container)
        _check_pixels(stream.width, stream.height)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the frames may be larger than the header says
        fps = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
        timed = _timed(container.decode(stream), fps, has_presentation_stamps=container.format.name != "avi")
        for frame, time in _thinned(timed):
            _check_transfer(frame)
            if frame.interlaced_frame and _INTERLACED not in notes:
                notes = (*notes, _INTERLACED)
            yield Frame(Image.fromarray(_pixels(frame)), time, fps, notes)


def _open(path: Path) -> av.container.InputContainer:
    if path.exists() and not path.is_file():  # a pipe, for one, would be waited for
        raise Unreadable("it is not a file")
    try:
        # With its protocol: without, FFmpeg would take a name such as "concat:a" for one.
        # Titles and other metadata, which nobody needs here, may be in any encoding.
        return av.open(f"file:{path}", options={"format_whitelist": _DEMUXERS}, metadata_errors="ignore")
    except av.error.ArgumentError as error:
        raise Unreadable("it is in no format of videos that is read; playlists are none") from error


def _film(path: Path, container: av.container.InputContainer) -> tuple[av.VideoStream, tuple[str, ...]]:
    """The stream to read, as `frames` says, and a note if there was a choice."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _STILL]
    if streams and not any(stream.codec_context for stream in streams):
        raise Unreadable("there is no decoder for its video: encode it again, for instance as H.264")
    streams = [stream for stream in streams if stream.codec_context]
    if len(streams) > 1:  # a cover may not be marked as one, but has one frame
        with _open(path) as peeked:
            packets = islice(peeked.demux([peeked.streams[stream.index] for stream in streams]), _PEEKED_PACKETS)
            counts = Counter(packet.stream.index for packet in packets if packet.size)
        streams = [stream for stream in streams if counts[stream.index] > 1]
    if not streams:
        raise Unreadable("it has still pictures and no video" if container.streams.video else "no video stream")
    film = max(streams, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index))
    if len(streams) == 1:
        return film, ()
    return film, (
        f"stream {film.index} was read, one of {len(streams)} videos in the file: the default one, else the largest, "
        "else the first",
    )


def _timed(
    decoded: Iterable[av.VideoFrame], fps: float, *, has_presentation_stamps: bool
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Each frame with its time in seconds: its stamp's, or, where it has none, what the rate makes of the last one.

    A container without stamps for presentation has those for decoding, which FFmpeg (as `dts`) gives to the frames in
    the order of presentation.
    """
    time, since = 0.0, 0
    for frame in decoded:
        stamp = frame.pts if has_presentation_stamps and frame.pts is not None else frame.dts
        if stamp is not None and frame.time_base:
            time, since = float(stamp * frame.time_base), 0
        yield frame, time + since / fps
        since += 1


def _thinned(timed: Iterable[tuple[av.VideoFrame, float]]) -> Iterator[tuple[av.VideoFrame, float]]:
    """The first frame, and after each the one nearest to 1/30 s later; which that is, is judged without waiting for the
    next, as if that came after as long as this one did."""
    taken = before = None
    for frame, time in timed:
        if taken is None or time < taken or _is_nearest(time, before, taken + 1 / FRAME_RATE):
            yield frame, time
            taken = time
        before = time


def _is_nearest(time: float, before: float, due: float) -> bool:
    return abs(time - due) < abs(2 * time - before - due)


def _check_transfer(frame: av.VideoFrame) -> None:
    kind = "HDR, ICtCp" if frame.colorspace == _ICTCP else _TRANSFERS.get(frame.color_trc)
    if kind:
        raise Unreadable(f"its values are not those of sRGB ({kind}): convert it to SDR (BT.709) with a tone mapper")


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    """[H, W, 3] uint8 RGB, upright."""
    # Untagged HD is BT.709 by convention, but FFmpeg takes everything untagged for BT.601.
    matrix = "ITU709" if frame.colorspace == _UNSPECIFIED and frame.height >= 720 else None
    field = _top_field(frame) if frame.interlaced_frame else frame
    pixels = field.to_ndarray(format="rgb24", src_colorspace=matrix, width=frame.width, height=frame.height)
    return np.ascontiguousarray(_upright(pixels, frame.side_data.get(SideData.DISPLAYMATRIX)))


def _top_field(frame: av.VideoFrame) -> av.VideoFrame:
    graph = _field_filter(frame.width, frame.height, frame.format.name)
    graph.vpush(frame)
    return graph.vpull()


@functools.lru_cache(maxsize=1)
def _field_filter(width: int, height: int, pixel_format: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=pixel_format, time_base=1)
    graph.link_nodes(source, graph.add("field", "top"), graph.add("buffersink")).configure()
    return graph


def _upright(pixels: np.ndarray, display_matrix: bytes | None) -> np.ndarray:
    """Turns and mirrors pixels [H, W, 3] as players do.

    The matrix takes a pixel from column p and row q to column a p + c q and row b p + d q, up to a shift. (PyAV's
    `rotation` is only the angle, in which mirrored and turned pictures are the same.)
    """
    a, b, _, c, d = memoryview(bytes(display_matrix)).cast("i")[:5] if display_matrix else (1, 0, 0, 0, 1)
    if not any((a, b, c, d)):
        return pixels
    if _UPRIGHT * max(abs(a), abs(d)) < min(abs(b), abs(c)):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    elif _UPRIGHT * max(abs(b), abs(c)) >= min(abs(a), abs(d)):
        raise Unreadable("its display matrix turns or skews it by an odd angle: turn it upright and encode it again")
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _read_folder(folder: Path) -> Iterator[Frame]:
    numbered = numbered_frames(folder)
    numbers = list(numbered.paths)
    # Frames may be numbered in steps; what is missing then shows as a longer way from one number to the next.
    step = statistics.median_low(after - before for before, after in pairwise(numbers))
    notes = (f"no frame, and left out: {', '.join(numbered.others)}",) if numbered.others else ()
    for number, path in numbered.paths.items():
        time = (number - numbers[0]) / step / FRAME_RATE
        try:
            with images.opened(path) as image:
                _check_pixels(*image.size)
                if image.mode.startswith("I"):
                    raise Unreadable("it has more than 8 bits per channel; convert the frames to 8 bits")
                yield Frame(ImageOps.exif_transpose(image).convert("RGB"), time, float(FRAME_RATE), notes)
        except ValueError as error:
            raise Unreadable(str(error).replace(f"{folder}{os.sep}", "")) from error


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable(f"frames of {width}x{height} are more than {MAX_PIXELS:,} pixels, the most that is read")
