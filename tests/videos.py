"""Videos that the tests of preparing encode."""

from fractions import Fraction

import av
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 320, 192


def panning(count, *, seed, size=(HEIGHT, WIDTH), speed=4):
    """[count, H, W, 3] uint8: a camera that pans over a smooth random texture, different for each seed."""
    height, width = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 1, (width + speed * count) // 16 + 2, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((width + speed * count, height), Image.Resampling.BICUBIC))
    return np.stack([texture[:, speed * t : speed * t + width] for t in range(count)])


def still(count, *, level=None, seed=0):
    """[count, H, W, 3] uint8: one frame again and again, textured unless a grey level is given."""
    frame = panning(1, seed=seed)[0] if level is None else np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    return np.repeat(frame[None], count, axis=0)


def encode(path, *scenes, fps=30, times=None, **options):
    """Writes scenes, one after the other, as an H.264 video; see `add_stream` for the options."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = add_stream(container, np.concatenate(scenes), fps=fps, exact=times is not None, **options)
        add_frames(container, stream, np.concatenate(scenes), times=times)
    return path


def add_stream(
    container,
    frames,
    *,
    codec="libx264",
    fps=30,
    exact=False,
    matrix=None,
    transfer=None,
    colorspace=None,
    **options,
):
    """A stream for frames: `exact` if they have times of their own, `matrix` is FFmpeg's display matrix, `transfer` and
    `colorspace` its numbers of those, and the others are the encoder's options."""
    if codec == "libx264":
        options = {"crf": "12", "preset": "ultrafast"} | options
    stream = container.add_stream(codec, rate=Fraction(fps), options=options)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = Fraction(1, 90_000) if exact else 1 / Fraction(fps)
    if matrix is not None:
        stream.set_display_matrix(matrix)
    if transfer is not None:
        stream.codec_context.color_trc = transfer
    if colorspace is not None:
        stream.codec_context.colorspace = colorspace
    return stream


def add_frames(container, stream, frames, *, times=None):
    """Encodes frames, RGB pixels or FFmpeg's, at `times`, in seconds, or at the stream's rate."""
    unit = stream.codec_context.time_base
    for number, frame in enumerate(frames):
        if isinstance(frame, np.ndarray):
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        frame.time_base, frame.pts = unit, number if times is None else round(Fraction(times[number]) / unit)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
