"""Image files to the arrays that the metric takes: float32 sRGB in [0, 1], height x width x 3.

One rule per kind of file, so that a score never depends on how a picture happened to be stored:

* grey, palette and bilevel pictures become three channels;
* an alpha channel that hides nothing changes nothing; where it does hide, the picture is laid over mid-grey, against
  which neither black nor white content disappears (colours under transparent pixels are never compared);
* a fourth channel that the file does not call alpha is left out, and so is one in BMP, TGA or TIFF that is 0
  everywhere, because many programs never fill it;
* 16 bits per channel are kept in PNG, TIFF and PPM/PGM files; JPEG 2000 colour, SGI and AVIF are read at 8;
* an embedded colour profile other than sRGB is converted to sRGB (at 8 bits), and pictures without one are sRGB;
* the EXIF orientation is applied (in PNG, that of EXIF and not of XMP);
* HDR pictures (PQ or HLG, as PNG, AVIF and profiles say in code points) are refused, because distances are defined on
  sRGB; of a JPEG with a gain map, the SDR picture is read, which its maker meant for sRGB screens;
* what has no single meaning is refused: animations, CMYK without a profile, signed and floating-point pixels.

A file may come from anyone: only `FORMATS` are tried, at most `MAX_PIXELS` are decoded, and a file that contradicts
itself is refused.
"""

import enum
import functools
import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from pim_jax.data import boxes, cicp, kinds, png, tiff

BACKGROUND = 0.5  # what shows through transparent pixels, in sRGB

# Of what Pillow reads, the formats that photographs come in. Others would only help an attacker: to show an EPS file,
# for one, Pillow runs it as a program.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"
)  # fmt: skip
MAX_PIXELS = 2**29 // 3  # half a gigabyte of 8-bit colour; Pillow's own limit, were it not for who changes that

_DEFLATE_RATIO = 1032  # deflate, which PNG uses, makes at most so many bytes of one; a byte holds 8 pixels or fewer
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr", "CMYK", "I", "I;16", "I;16B"}
_DEEP_DEMUXERS = "png_pipe,pgm_pipe,ppm_pipe,pam_pipe,j2k_pipe"  # FFmpeg's: none that opens other files
_PROFILES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}  # a profile's colour space: the mode it applies to
_OFTEN_UNFILLED = ("BMP", "DIB", "TGA")  # formats whose alpha many programs leave at 0, and show all the same
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that swap height and width


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

    Examples:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
      ...     Image.new("L", (4, 2), 51).save(file.name)
      ...     pixels = read(file.name)
      >>> pixels.shape, pixels.dtype, float(pixels[0, 0, 0])
      ((2, 4, 3), dtype('float32'), 0.20000000298023224)
    """
    with _refusing(path), _file(path) as file:
        return _read(file)


def size(path: str | os.PathLike) -> tuple[int, int]:
    """The height and width that `read` will return, from the file's header alone.

    Args:
      path: an image file.

    Returns:
      (height, width) in pixels.

    Raises:
      FileNotFoundError, ValueError: as `read`, for what the header shows.

    Examples:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
      ...     Image.new("L", (4, 2)).save(file.name)
      ...     size(file.name)
      (2, 4)
    """
    with _refusing(path), _file(path) as file:
        layout = _tiff_layout(file)
        if layout:
            return layout.upright_size
        with _opened(file) as image:
            return _upright_size(image)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens a still image; whatever goes wrong until it is closed is one error that names the file.

    Args:
      path: an image file.

    Returns:
      a context manager that gives the image, which may not be decoded yet. A TIFF file is at 8 bits, over mid-grey.

    Raises:
      FileNotFoundError, ValueError: as `read`.
    """
    with _refusing(path), _file(path) as file:
        if _tiff_layout(file):
            yield Image.fromarray(np.round(_read(file) * 255).astype(np.uint8))
        else:
            with _opened(file) as image:
                yield image


@contextmanager
def _refusing(path: str | os.PathLike) -> Iterator[None]:
    """Makes whatever goes wrong one error that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; what spoils pixels is an error
            yield
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise ValueError(f"{path} cannot be read as an image: {_reason(path, error)}") from error


def _file(path: str | os.PathLike) -> BinaryIO:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, for one, would be waited for
        raise ValueError("it is not a file")
    return open(path, "rb")  # Pillow is given no name: it would map the file into memory, and turned TIFFs wrongly so


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """Opens an image with Pillow and checks what its header says."""
    file.seek(0)
    content = None
    if file.read(len(png.SIGNATURE)) == png.SIGNATURE:
        file.seek(0)
        content = file.read()
        file = io.BytesIO(png.reduced(content))
    file.seek(0, os.SEEK_END)
    size = file.tell()
    with Image.open(file, formats=FORMATS) as image:
        _check_kind(image, size)
        if image.format == "AVIF":
            _check_avif_colours(image, file)
        if image.format == "PNG":
            image.info["icc_profile"] = _png_profile(content)
        yield image


def _png_profile(content: bytes) -> bytes | None:
    code_points = png.code_points(content)
    if code_points:  # which go before a profile
        cicp.check_srgb(*code_points)
        return None
    return png.profile(content)


def _check_avif_colours(image: Image.Image, file: BinaryIO) -> None:
    file.seek(0)
    for primaries, transfer in cicp.in_avif(file.read()):
        # A profile says more than the primaries, but nothing takes HDR back.
        cicp.check_srgb(cicp.UNSPECIFIED if "icc_profile" in image.info else primaries, transfer)


def _check_kind(image: Image.Image, file_size: int) -> None:
    _check_size(image.width, image.height)
    if image.format == "PNG" and image.width * image.height > 8 * _DEFLATE_RATIO * file_size:
        raise ValueError("its header claims more pixels than its bytes can hold")  # Pillow would fill them with black
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in ("MPO", "TIFF"):  # an MPO's others are a preview or a gain map
        raise ValueError(f"it holds {frames} pictures; save the one you mean as a file of its own")
    if image.mode not in _MODES:
        raise ValueError(f"pixels of mode {image.mode} have no defined white; convert them to 8 or 16 bits")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError


def _tiff_layout(file: BinaryIO) -> tiff.Layout | None:
    """The layout of a TIFF file; None for other files."""
    tags = tiff.directory(file)
    if tags is None:
        return None
    layout = tiff.layout(tags)
    _check_size(layout.width, layout.height)
    return layout


def _reason(path: str | os.PathLike, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS:,} pixels, the most that is read"
    if isinstance(error, UnidentifiedImageError):
        kind = kinds.kind(path)
        if kind in kinds.UNREAD:
            return f"it is {kind}, which is not read; convert it to PNG"
        return f"cannot identify image file; it is damaged, or no {kind or 'picture'}"
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return image.size if _orientation(image) in _ON_ITS_SIDE else image.size[::-1]


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _read(file: BinaryIO) -> np.ndarray:
    layout = _tiff_layout(file)
    if layout and layout.read_here:
        colour, alpha, icc = tiff.read(file)
    else:
        with _opened(file) as image:
            decode = _decode_deep if _is_deep(image) else _decode  # before anything makes Pillow decode it
            size = layout.upright_size if layout else _upright_size(image)
            icc = image.info.get("icc_profile")
            colour, alpha = decode(file, image)
            if colour.shape[:2] != size:
                raise ValueError("its header and its pixels do not have the same size")
    colour = _to_srgb(colour, icc)
    if colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if alpha is not None:
        colour = colour * alpha + np.float32(BACKGROUND) * (1 - alpha)
    return colour


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits per channel (Pillow keeps 8 in colour, and clips when it converts grey)."""
    layout = str(image.tile)  # the decoder and the file's own pixels, such as 'RGB;16B'
    deep_ppm = image.mode == "RGB" and "codec_name='ppm" in layout and image.tile[0].args[1] > 255
    return image.mode.startswith("I") or ";16" in layout or deep_ppm


def _decode(file: BinaryIO, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of 8 bits or fewer: colour [H, W, 1, 3 or 4 (CMYK)] and alpha [H, W, 1] or None, float32 in [0, 1]."""
    kind, format = _kind_of_alpha(file, image), image.format
    image = ImageOps.exif_transpose(image)
    alpha = None if kind is _Alpha.NONE else _fractions(image.convert("RGBA").getchannel("A"))
    if image.mode != "CMYK":
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    colour = _fractions(image)
    if kind is _Alpha.ONE_BIT and alpha.min() < alpha.max():
        raise ValueError("it has one bit of alpha, which programs read either way round; save it with 24 or 32 bits")
    if kind is _Alpha.ONE_BIT or (format in _OFTEN_UNFILLED and alpha is not None and not alpha.any()):
        alpha = None
    if kind is _Alpha.PREMULTIPLIED:
        colour = tiff.divided(colour, alpha)
    return colour, alpha


def _fractions(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32).reshape(image.height, image.width, -1) / np.float32(255)


class _Alpha(enum.Enum):
    NONE, STRAIGHT, PREMULTIPLIED, ONE_BIT = range(4)


def _kind_of_alpha(file: BinaryIO, image: Image.Image) -> _Alpha:
    """What the file says of its alpha channel, where Pillow does not heed it."""
    if not image.has_transparency_data:
        return _Alpha.NONE
    if image.format in ("BMP", "DIB") and image.mode == "RGBA":
        file.seek(14 if image.format == "BMP" else 0)
        header = file.read(56)
        masked = int.from_bytes(header[:4], "little") >= 56 and any(header[52:56])
        return _Alpha.STRAIGHT if masked else _Alpha.NONE
    if image.format == "TGA":
        return _kind_of_tga_alpha(file)
    if image.format == "JPEG2000":
        return _kind_of_jp2_alpha(file, len(image.getbands()) - 1)
    return _Alpha.STRAIGHT


def _kind_of_tga_alpha(file: BinaryIO) -> _Alpha:
    file.seek(16)
    bits_per_pixel, flags = file.read(2)
    if not flags & 15:  # bits of alpha per pixel
        return _Alpha.NONE
    if bits_per_pixel == 16 and flags & 15 == 1:
        return _Alpha.ONE_BIT
    file.seek(-26, os.SEEK_END)
    footer = file.read(26)
    position = int.from_bytes(footer[:4], "little")
    if not footer.endswith(b"TRUEVISION-XFILE.\0") or not position:
        return _Alpha.STRAIGHT
    file.seek(position + 494)
    return {b"\3": _Alpha.STRAIGHT, b"\4": _Alpha.PREMULTIPLIED}.get(file.read(1), _Alpha.NONE)


def _kind_of_jp2_alpha(file: BinaryIO, channel: int) -> _Alpha:
    file.seek(0)
    content = file.read()
    if not any(True for _ in boxes.inside(content, b"jp2h")):  # a bare codestream, in which no channel has a meaning
        return _Alpha.STRAIGHT
    for definitions in boxes.inside(content, b"jp2h", b"cdef"):
        for number, kind, _ in struct.iter_unpack(">3H", definitions[2 : 2 + len(definitions[2:]) // 6 * 6]):
            if number == channel:
                return {1: _Alpha.STRAIGHT, 2: _Alpha.PREMULTIPLIED}.get(kind, _Alpha.NONE)
    return _Alpha.NONE


def _decode_deep(file: BinaryIO, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """As `_decode`, for more than 8 bits: FFmpeg decodes to full depth, once Pillow has found the file whole."""
    orientation, transparent = _orientation(image), image.has_transparency_data
    image.load()
    file.seek(0)
    content = file.read()
    frame = _first_frame(png.reduced(content) if image.format == "PNG" else content)
    channels, bits = len(frame.format.components), frame.format.components[0].bits
    if len(frame.planes) != 1 or not 8 < bits <= 16:
        raise ValueError(f"its pixel layout ({frame.format.name}) is not supported; save it as a 16-bit PNG")
    words = np.frombuffer(frame.planes[0], ">u2" if frame.format.is_big_endian else "<u2")
    rows = words.reshape(frame.height, -1)[:, : frame.width * channels]  # FFmpeg pads its rows
    pixels = rows.reshape(frame.height, frame.width, channels).astype(np.float32) / np.float32(2**bits - 1)
    pixels = tiff.upright(pixels, orientation)
    return pixels[..., : 3 if channels > 2 else 1], pixels[..., -1:] if transparent else None


def _first_frame(content: bytes) -> av.VideoFrame:
    # Without its name, in which FFmpeg would take a % or : for a pattern or a protocol.
    with av.open(io.BytesIO(content), options={"format_whitelist": _DEEP_DEMUXERS}) as container:
        # FFmpeg may find another size in the file than Pillow did.
        container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return next(container.decode(video=0))


def _to_srgb(colour: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Colour [H, W, C] under its embedded profile to sRGB; unchanged where there is no profile, or sRGB's own."""
    if icc:
        cicp.check_profile(icc)
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
