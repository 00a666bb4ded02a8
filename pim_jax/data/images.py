"""Image files to the arrays that the metric takes: float32 sRGB in [0, 1], height x width x 3.

One rule per kind of file, so that a score never depends on how a picture happened to be stored:

* grey, palette and bilevel pictures become three channels;
* an alpha channel that hides nothing changes nothing; where it does hide, the picture is laid over mid-grey, against
  which neither black nor white content disappears (colours under transparent pixels are never compared);
* 16 bits per channel are kept in PNG, TIFF and PPM/PGM files; JPEG 2000 colour and AVIF are read at 8;
* an embedded colour profile other than sRGB is converted to sRGB (at 8 bits), and pictures without one are sRGB;
* the EXIF orientation is applied;
* what has no single meaning is refused: animations, CMYK without a profile, floating-point pixels.

A file may come from anyone: only `FORMATS` are tried, at most `MAX_PIXELS` are decoded, and a file that contradicts
itself is refused.
"""

import functools
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

BACKGROUND = 0.5  # what shows through transparent pixels, in sRGB

# Of what Pillow reads, the formats that photographs come in. Others would only help an attacker: to show an EPS file,
# for one, Pillow runs it as a program.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"
)  # fmt: skip
MAX_PIXELS = 2**29 // 3  # half a gigabyte of 8-bit colour; Pillow's own limit, were it not for who changes that

_DEFLATE_RATIO = 1032  # deflate, which PNG uses, makes at most so many bytes of one; a byte holds 8 pixels or fewer
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr", "CMYK", "I", "I;16", "I;16B"}
_DEEP_DEMUXERS = "png_pipe,tiff_pipe,pgm_pipe,ppm_pipe,pam_pipe,j2k_pipe"  # FFmpeg's: none that opens other files
_PROFILES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}  # a profile's colour space: the mode it applies to


def read(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as sRGB.

    Args:
      path: a still image in one of `FORMATS`, whatever its name.

    Returns:
      [H, W, 3] float32 in [0, 1].

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, has more than `MAX_PIXELS` pixels, or is of a kind that has no single meaning as
        sRGB. The message names the file.

    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
      ...     Image.new("L", (4, 2), 51).save(file.name)
      ...     pixels = read(file.name)
      >>> pixels.shape, pixels.dtype, float(pixels[0, 0, 0])
      ((2, 4, 3), dtype('float32'), 0.20000000298023224)
    """
    with opened(path) as image:
        colour, alpha = _decode_deep(path, image) if _is_deep(image) else _decode(image)
        if colour.shape[:2] != _upright_size(image):
            raise ValueError("its header and its pixels do not have the same size")
        colour = _to_srgb(colour, image.info.get("icc_profile"))
    if colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if alpha is not None:
        colour = colour * alpha + np.float32(BACKGROUND) * (1 - alpha)
    return colour


def size(path: str | os.PathLike) -> tuple[int, int]:
    """The height and width that `read` will return, from the file's header alone.

    Args:
      path: an image file.

    Returns:
      (height, width) in pixels.

    Raises:
      FileNotFoundError, ValueError: as `read`, for what the header shows.

    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
      ...     Image.new("L", (4, 2)).save(file.name)
      ...     size(file.name)
      (2, 4)
    """
    with opened(path) as image:
        return _upright_size(image)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens a still image, not decoded yet; whatever goes wrong until it is closed is one error that names the file.

    Args:
      path: an image file.

    Returns:
      a context manager that gives the image.

    Raises:
      FileNotFoundError, ValueError: as `read`.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe, for one, would be waited for
            raise ValueError("it is not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; what spoils pixels is an error
            with Image.open(path, formats=FORMATS) as image:
                _check_kind(image, os.path.getsize(path))
                yield image
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise ValueError(f"{path} cannot be read as an image: {_reason(error)}") from error


def _check_kind(image: Image.Image, file_size: int) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise Image.DecompressionBombError
    if image.format == "PNG" and pixels > 8 * _DEFLATE_RATIO * file_size:  # Pillow would fill the rest with black
        raise ValueError("its header claims more pixels than its bytes can hold")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # in a phone's MPO, the others are a preview or a gain map
        raise ValueError(f"it holds {frames} pictures; save the one you mean as a file of its own")
    if image.mode not in _MODES:
        raise ValueError(f"pixels of mode {image.mode} have no defined white; convert them to 8 or 16 bits")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS:,} pixels, the most that is read"
    return next(iter(str(error).splitlines()), type(error).__name__)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # Pillow reports the upright size of a TIFF, and the stored size of everything else.
    on_its_side = image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8)
    return image.size if on_its_side else image.size[::-1]


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits per channel (Pillow keeps 8 in colour, and clips when it converts grey)."""
    if image.mode == "CMYK":
        return False
    layout = str(image.tile)  # the decoder and the file's own pixels, such as 'RGB;16B'
    deep_ppm = image.mode == "RGB" and "codec_name='ppm" in layout and image.tile[0].args[1] > 255
    return image.mode.startswith("I") or ";16" in layout or deep_ppm


def _decode(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of 8 bits or fewer: colour [H, W, 1, 3 or 4 (CMYK)] and alpha [H, W, 1] or None, float32 in [0, 1]."""
    image = ImageOps.exif_transpose(image)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode != "CMYK":
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    colour = np.asarray(image, np.float32).reshape(image.height, image.width, -1) / np.float32(255)
    return colour, None if alpha is None else np.asarray(alpha, np.float32)[..., None] / np.float32(255)


def _first_frame(path) -> av.VideoFrame:
    # Without its name, in which FFmpeg would take a % or : for a pattern or a protocol.
    with av.open(io.BytesIO(Path(path).read_bytes()), options={"format_whitelist": _DEEP_DEMUXERS}) as container:
        # FFmpeg may find another size in the file than Pillow did.
        container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return next(container.decode(video=0))


def _decode_deep(path, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """As `_decode`, for more than 8 bits: FFmpeg decodes to full depth, once Pillow has found the file whole."""
    orientation, transparent = _orientation(image), image.has_transparency_data
    image.load()
    frame = _first_frame(path)
    channels, bits = len(frame.format.components), frame.format.components[0].bits
    if len(frame.planes) != 1 or not 8 < bits <= 16:
        raise ValueError(f"its pixel layout ({frame.format.name}) is not supported; save it as a 16-bit PNG")
    words = np.frombuffer(frame.planes[0], ">u2" if frame.format.is_big_endian else "<u2")
    rows = words.reshape(frame.height, -1)[:, : frame.width * channels]  # FFmpeg pads its rows
    pixels = rows.reshape(frame.height, frame.width, channels).astype(np.float32) / np.float32(2**bits - 1)
    pixels = _upright(pixels, orientation)
    return pixels[..., : 3 if channels > 2 else 1], pixels[..., -1:] if transparent else None


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation (1 to 8), for pixels that Pillow does not hold."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _to_srgb(colour: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Colour [H, W, C] under its embedded profile to sRGB; unchanged where there is no profile, or sRGB's own."""
    mode, transform = _transform(icc) if icc else ("RGB", None)
    if colour.shape[-1] == 1 and mode == "RGB":  # grey values under an RGB profile (common) are neutral colours
        colour = np.repeat(colour, 3, axis=-1)
    if colour.shape[-1] != len(mode):
        problem = f"its colour profile is for {mode}" if icc else "it is CMYK without a colour profile"
        raise ValueError(f"{problem}, so its colours are not defined; convert it to sRGB")
    if transform is None:
        return colour
    height, width, _ = colour.shape
    image = Image.frombytes(mode, (width, height), np.round(colour * 255).astype(np.uint8).tobytes())
    return np.asarray(ImageCms.applyTransform(image, transform), np.float32) / np.float32(255)


@functools.lru_cache(maxsize=8)
def _transform(icc: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode that a profile applies to and its transform to sRGB, or None if that would change nothing.

    Files carry many versions of the sRGB profile, and a picture must score the same with any of them as with none. So a
    profile is sRGB if the transform leaves a lattice of colours alone, give or take its own rounding.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _PROFILES[profile.profile.xcolor_space]
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, KeyError, ImageCms.PyCMSError) as error:
        raise ValueError(
            f"its colour profile is not usable ({error}); remove it or convert the file to sRGB"
        ) from error
    if mode == "CMYK":
        return mode, transform
    lattice = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * len(mode), indexing="ij"), axis=-1)
    image = Image.frombytes(mode, (lattice.size // len(mode), 1), lattice.tobytes())
    change = np.asarray(ImageCms.applyTransform(image, transform), int) - np.asarray(image.convert("RGB"), int)
    return mode, None if np.abs(change).max() <= 1 else transform
