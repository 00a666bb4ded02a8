"""TIFF files to their stored samples, at full depth.

TIFF is a frame for hundreds of layouts, and no decoder at hand reads all of them right. Pillow keeps 8 bits of colour,
and FFmpeg takes tiles for strips, without a word. `layout` decides, in one place, what is done with a file: it is read
here, it is left to Pillow, or it is refused.

Read here is what cameras, scanners and editors write: grey, RGB, CMYK and palette pictures; 1, 2, 4, 8, 12 or 16 bits;
strips or tiles; channels interleaved or in planes; either byte order; classic TIFF and BigTIFF; no compression, LZW,
deflate, PackBits, LZMA or Zstandard; with or without horizontal differencing. These compressions know bytes and not
pixels. So Pillow (libtiff) is given the same strips as a picture of one grey channel, which it reads right, and NumPy
puts the samples where they belong. Fax and JPEG compression know pixels, so those files are left to Pillow as they are.
"""

import io
import math
import struct
import warnings
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import PREFIXES, ImageFileDirectory_v2

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS = 273, 277, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_SUBFILE_TYPE, _ORIENTATION, _PLANES, _PREDICTOR, _COLOUR_MAP, _SUB_DIRECTORIES = 254, 274, 284, 317, 320, 330
_INKS, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _MATTEING, _ICC_PROFILE, _DNG_VERSION = 332, 338, 339, 32995, 34675, 50706

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6  # values of _COLOURS
_CHANNELS = {_WHITE_IS_0: 1, _BLACK_IS_0: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_RAW_COLOURS = (32803, 34892)  # a sensor's mosaic, and its values before any colour is made of them
_UNCOMPRESSED, _PACKBITS = 1, 32773  # values of _COMPRESSION
_OF_BYTES = {_UNCOMPRESSED, _PACKBITS, 5, 8, 32946, 34925, 50000}  # and LZW, deflate (twice), LZMA, Zstandard
_FAX, _JPEG = {2, 3, 4}, 7
_ASSOCIATED, _UNASSOCIATED = 1, (2, 999)  # kinds of alpha: colours are multiplied by it or not; 999 is Corel's
_FORMATS = {2: "signed", 3: "floating-point", 4: "of no type", 5: "complex", 6: "complex"}
_RAW = "it is a camera's raw file, which has no colours yet; develop it to 16-bit PNG or TIFF"
_HEADER = 8  # bytes of a TIFF file before everything else
_LONG = 4  # the type of a tag's values: 32-bit whole numbers
_MOST_PICTURES = 1000  # in one file, counted to name their number
_MOST_SAMPLES = 16  # per pixel
_SAMPLES_AT_ONCE = 2**25  # as many are decoded together, a few strips at least


class Layout(NamedTuple):
    """How the samples of a picture lie in its file.

    Attributes:
      width, height: of the picture as it is stored, in pixels.
      orientation: as in EXIF, 1 to 8.
      colours: the tag PhotometricInterpretation.
      samples: per pixel, extra ones included.
      bits: per sample.
      alpha: the number of the sample that is alpha, or None.
      alpha_is_declared: whether the file says that this sample is alpha; without, that is a convention.
      premultiplied: whether colours are stored multiplied by alpha.
      planar: whether each sample has strips or tiles of its own.
      compression, predictor, fill_order: the tags of these names.
      tiled: whether it is cut into tiles, and not into strips.
      block: height and width of a tile, or of a strip.
    """

    width: int
    height: int
    orientation: int
    colours: int
    samples: int
    bits: int
    alpha: int | None
    alpha_is_declared: bool
    premultiplied: bool
    planar: bool
    compression: int
    predictor: int
    fill_order: int
    tiled: bool
    block: tuple[int, int]

    @property
    def together(self) -> int:
        """Samples of a pixel that lie side by side."""
        return 1 if self.planar else self.samples

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width of the picture as it is shown."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)

    @property
    def read_here(self) -> bool:
        """Whether `read` reads it; otherwise Pillow does."""
        return self.compression in _OF_BYTES


def directory(file: BinaryIO) -> ImageFileDirectory_v2 | None:
    """The tags of the one picture in a file.

    Args:
      file: an open file, at any position.

    Returns:
      the tags of its first directory, or None if the file is no TIFF.

    Raises:
      ValueError: the file has several pictures, a preview before the picture, or a camera's raw data. Smaller copies
        behind the picture do not count.
    """
    file.seek(0)
    header = file.read(16)
    if not header.startswith(tuple(PREFIXES)):
        return None
    if header[8:10] == b"CR":
        raise ValueError(_RAW)
    start = _empty(header).next
    first = _load(header, file, start)
    queue, seen, pictures = [first.next, *_whole(first, _SUB_DIRECTORIES)], {start}, 1
    while queue and len(seen) < _MOST_PICTURES:
        position = queue.pop()
        if position and position not in seen:
            seen.add(position)
            other = _load(header, file, position)
            queue += [other.next, *_whole(other, _SUB_DIRECTORIES)]
            pictures += not _is_smaller_copy(other)
    if _DNG_VERSION in first or _one(first, _COLOURS, _BLACK_IS_0) in _RAW_COLOURS:
        raise ValueError(_RAW)
    if _is_smaller_copy(first):
        raise ValueError("its first picture is a preview of another, as in a camera's raw file; convert it to PNG")
    if pictures > 1:
        raise ValueError(f"it holds {pictures} pictures; save the one you mean as a file of its own")
    return first


def _empty(header: bytes) -> ImageFileDirectory_v2:
    """Tags in the file's byte order, none yet."""
    if 43 in header[2:4]:  # BigTIFF, which Pillow knows in one byte order only
        return ImageFileDirectory_v2(b"II+\0" + header[4:], prefix=header[:2])
    return ImageFileDirectory_v2(header[:8])


def _load(header: bytes, file: BinaryIO, position: int) -> ImageFileDirectory_v2:
    tags = _empty(header)
    tags.next = None
    file.seek(position)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that a tag was left out, which may be one that changes every pixel
        tags.load(file)
    if tags.next is None:
        raise ValueError("its directory of tags is cut short")
    return tags


def _is_smaller_copy(tags: ImageFileDirectory_v2) -> bool:
    return bool(_one(tags, _SUBFILE_TYPE, 0) & 1)


def _whole(tags: ImageFileDirectory_v2, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The whole numbers of a tag."""
    values = tags.get(tag, default)
    values = values if isinstance(values, tuple) else (values,)
    if not all(isinstance(value, int) for value in values):
        raise ValueError(f"its tag {tag} is not a whole number")
    return values


def _one(tags: ImageFileDirectory_v2, tag: int, default: int | None = None) -> int:
    values = _whole(tags, tag, () if default is None else (default,))
    if len(values) != 1:
        raise ValueError(f"its tag {tag} has {len(values)} values and not one")
    return values[0]


def _same(tags: ImageFileDirectory_v2, tag: int, default: int, samples: int) -> int:
    """The value of a tag that has one per sample, or one for all."""
    values = _whole(tags, tag, (default,))
    if len(set(values)) != 1 or len(values) not in (1, samples):
        raise ValueError(f"its samples differ in kind (tag {tag} is {values}); save it as a 16-bit PNG")
    return values[0]


def layout(tags: ImageFileDirectory_v2) -> Layout:
    """Decides what is done with a picture: whether its layout is one that a decoder is known to read right.

    Args:
      tags: from `directory`.

    Returns:
      its layout; `Layout.read_here` says by whom it is read.

    Raises:
      ValueError: no decoder at hand is trusted with it, or it contradicts itself.
    """
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    samples, colours = _one(tags, _SAMPLES, 1), _one(tags, _COLOURS)
    compression, predictor = _one(tags, _COMPRESSION, _UNCOMPRESSED), _one(tags, _PREDICTOR, 1)
    planes, fill_order = _one(tags, _PLANES, 1), _one(tags, _FILL_ORDER, 1)
    orientation = _one(tags, _ORIENTATION, 1)
    if min(width, height, samples) < 1 or samples > _MOST_SAMPLES:
        raise ValueError(f"it claims {width} x {height} pixels of {samples} samples")
    bits, kind = _same(tags, _BITS, 1, samples), _same(tags, _SAMPLE_FORMAT, 1, samples)
    if kind != 1:
        raise ValueError(f"its samples are {_FORMATS.get(kind, kind)}; convert them to unsigned 8 or 16 bits")
    if colours not in _CHANNELS:
        raise ValueError(f"its kind of colours (PhotometricInterpretation {colours}) is not read; convert it to RGB")
    alpha, declared, premultiplied = _alpha(tags, colours, samples)
    found = Layout(
        width=width,
        height=height,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        colours=colours,
        samples=samples,
        bits=bits,
        alpha=alpha,
        alpha_is_declared=declared,
        premultiplied=premultiplied,
        planar=planes == 2,
        compression=compression,
        predictor=predictor,
        fill_order=fill_order,
        tiled=_TILE_OFFSETS in tags,
        block=_block(tags, width, height),
    )
    if planes not in (1, 2) or not (_is_read_here(tags, found) or _is_read_by_pillow(found)):
        raise ValueError(
            f"its layout is not read ({samples} samples of {bits} bits, PhotometricInterpretation {colours}, "
            f"Compression {compression}, Predictor {predictor}, PlanarConfiguration {planes}, FillOrder {fill_order}); "
            "save it as PNG or as uncompressed TIFF"
        )
    return found


def _alpha(tags: ImageFileDirectory_v2, colours: int, samples: int) -> tuple[int | None, bool, bool]:
    """Which sample is alpha, whether the file says so, and whether colours are multiplied by it."""
    channels, extra = _CHANNELS[colours], _whole(tags, _EXTRA_SAMPLES)
    if not extra and _one(tags, _MATTEING, 0):  # what ExtraSamples replaced
        extra = (_ASSOCIATED,)
    declared = bool(extra)
    if not declared and colours == _RGB and samples == 4:  # as OpenCV and others write RGBA
        extra = _UNASSOCIATED[:1]
    if len(extra) != samples - channels or not set(extra) <= {0, _ASSOCIATED, *_UNASSOCIATED}:
        raise ValueError(
            f"it has {samples} samples per pixel, and what they are is not clear (ExtraSamples {extra}); save it as PNG"
        )
    alpha = next((channels + index for index, kind in enumerate(extra) if kind), None)
    premultiplied = alpha is not None and extra[alpha - channels] == _ASSOCIATED
    if premultiplied and colours != _RGB and colours != _BLACK_IS_0:
        raise ValueError("its colours are multiplied by alpha, which is read in grey and RGB only; save it as PNG")
    return alpha, declared, premultiplied


def _block(tags: ImageFileDirectory_v2, width: int, height: int) -> tuple[int, int]:
    if _TILE_OFFSETS in tags:
        block = _one(tags, _TILE_HEIGHT), _one(tags, _TILE_WIDTH)
        if min(block) < 1 or math.prod(block) > 2 * max(width, 1024) * max(height, 1024):
            raise ValueError(f"its tiles of {block[1]} x {block[0]} do not fit {width} x {height} pixels")
        return block
    return min(height, max(1, _one(tags, _ROWS_PER_STRIP, height))), width


def _is_read_here(tags: ImageFileDirectory_v2, found: Layout) -> bool:
    bits = found.bits
    # Readers differ on whether a predictor counts where nothing, or PackBits, compresses.
    predictable = bits in (8, 16) and found.compression not in (_UNCOMPRESSED, _PACKBITS)
    return (
        found.compression in _OF_BYTES
        and found.colours in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK)
        and (found.colours != _CMYK or _one(tags, _INKS, 1) == 1)
        and bits in ((1, 2, 4, 8) if found.colours == _PALETTE else (1, 2, 4, 8, 12, 16))
        and (found.predictor == 1 or (found.predictor == 2 and predictable))
        and (found.fill_order == 1 or (found.fill_order == 2 and bits == 1))
    )


def _is_read_by_pillow(found: Layout) -> bool:
    if found.planar and found.samples > 1:
        return False
    if found.compression in _FAX:
        return found.bits == found.samples == 1 and found.colours in (_WHITE_IS_0, _BLACK_IS_0)
    kinds = [(_BLACK_IS_0, 1), (_RGB, 3), (_YCBCR, 3), (_CMYK, 4)]
    return (
        found.compression == _JPEG
        and (found.bits, found.fill_order) == (8, 1)
        and (found.colours, found.samples) in kinds
    )


def read(file: BinaryIO) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Reads a picture whose layout is `read_here`.

    Args:
      file: an open file.

    Returns:
      colour [H, W, C] float32 in [0, 1], where C is 1 (grey, black is 0), 3 (RGB) or 4 (CMYK, no ink is 0); alpha
      [H, W, 1] or None; and the colour profile (ICC) or None. Colours are upright and not multiplied by alpha.

    Raises:
      OSError, ValueError: the file is damaged.
    """
    tags = directory(file)
    found, profile = layout(tags), tags.get(_ICC_PROFILE)
    channels = _CHANNELS[found.colours]
    wanted = [*range(channels), *([] if found.alpha is None else [found.alpha])]
    samples = _samples(file, tags, found, wanted)
    alpha = None if found.alpha is None else _fraction(samples[..., channels:], found.bits)
    if found.colours == _PALETTE:
        colour = _fraction(_colour_map(tags, found.bits)[samples[..., 0]], 8)
    else:
        colour = _fraction(samples[..., :channels], found.bits)
    if found.colours == _WHITE_IS_0:
        colour = 1 - colour
    if found.premultiplied:
        colour = divided(colour, alpha)
    if alpha is not None and not found.alpha_is_declared and not alpha.any():
        alpha = None
    if alpha is not None:
        alpha = upright(alpha, found.orientation)
    return upright(colour, found.orientation), alpha, profile if isinstance(profile, bytes) else None


def divided(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were stored multiplied by alpha; black where it is 0.

    Args:
      colour: [H, W, C] float32.
      alpha: [H, W, 1] float32.
    """
    return np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0).clip(max=1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation.

    Args:
      pixels: [H, W, C].
      orientation: 1 to 8.

    Returns:
      a view of the pixels, [H, W, C] or [W, H, C].
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _fraction(samples: np.ndarray, bits: int) -> np.ndarray:
    return samples / np.float32(2**bits - 1)


def _colour_map(tags: ImageFileDirectory_v2, bits: int) -> np.ndarray:
    values = np.array(_whole(tags, _COLOUR_MAP))
    if values.size != 3 * 2**bits:
        raise ValueError(f"its palette has {values.size} values and not {3 * 2**bits}")
    # A palette has 16 bits, of which writers fill the upper eight; some fill the lower.
    return (values if values.max() < 256 else values >> 8).astype(np.uint8).reshape(3, -1).T


def _samples(file: BinaryIO, tags: ImageFileDirectory_v2, found: Layout, wanted: list[int]) -> np.ndarray:
    """The wanted samples of every pixel [H, W, len(wanted)], as they are stored: uint8, or uint16 above 8 bits."""
    blocks = _Blocks(file, tags, found)
    height, width, together = found.height, found.width, found.together
    samples = np.empty((height, width, len(wanted)), np.uint8 if found.bits <= 8 else np.uint16)
    for index, sample in enumerate(wanted):
        if found.planar:
            for top, rows in blocks.decoded(plane=sample):
                samples[top : top + len(rows), :, index] = rows
    if not found.planar:
        for top, rows in blocks.decoded(plane=0):
            samples[top : top + len(rows)] = rows.reshape(len(rows), width, together)[..., wanted]
    return samples


class _Blocks:
    """The strips or tiles of a picture."""

    def __init__(self, file: BinaryIO, tags: ImageFileDirectory_v2, found: Layout):
        self._file, self._order = file, tags.prefix
        self._offsets = _whole(tags, _TILE_OFFSETS if found.tiled else _STRIP_OFFSETS)
        self._counts = _whole(tags, _TILE_COUNTS if found.tiled else _STRIP_COUNTS)
        self._found = found
        if found.compression == _UNCOMPRESSED:
            self._cut_long_strips()
            # The file says these numbers too, and some writers get them wrong.
            self._counts = [self._size(number) for number in range(len(self._offsets))]
        rows, columns = self._found.block
        self._down, self._across = math.ceil(found.height / rows), math.ceil(found.width / columns)
        number = self._down * self._across * (found.samples if found.planar else 1)
        if min(len(self._offsets), len(self._counts)) < number:
            raise ValueError(f"it has {min(len(self._offsets), len(self._counts))} of {number} strips or tiles")

    def _cut_long_strips(self) -> None:
        """Makes a strip that is the whole picture into short ones, because Pillow limits what it decodes at once."""
        found, rows = self._found, 64
        if not found.tiled and found.block[0] > rows and found.block[0] == found.height:
            step = rows * self._row_size()
            shorter = range(math.ceil(found.height / rows))
            self._offsets = [offset + step * number for offset in self._offsets for number in shorter]
            self._found = found._replace(block=(rows, found.width))

    def _row_size(self) -> int:
        return math.ceil(self._found.block[1] * self._found.together * self._found.bits / 8)

    def _size(self, number: int) -> int:
        """The bytes of a strip or tile before compression."""
        found, rows = self._found, self._found.block[0]
        if not found.tiled:
            rows = min(rows, found.height - number % math.ceil(found.height / rows) * rows)
        return rows * self._row_size()

    def decoded(self, plane: int) -> Iterator[tuple[int, np.ndarray]]:
        """A few strips, or rows of tiles, at a time: the first row, and the samples [rows, width * together]."""
        found, (rows, columns) = self._found, self._found.block
        step = max(1, _SAMPLES_AT_ONCE // (rows * columns * self._across * found.together))
        for start in range(0, self._down, step):
            stop = min(start + step, self._down)
            numbers = range((plane * self._down + start) * self._across, (plane * self._down + stop) * self._across)
            top, bottom = start * rows, min(stop * rows, found.height)
            with Image.open(self._as_grey(numbers, bottom - top), formats=("TIFF",)) as image:
                samples = np.array(image, np.uint8 if found.bits <= 8 else np.uint16)  # in this machine's byte order
            if 1 < found.bits < 8:
                samples //= 255 // (2**found.bits - 1)  # by which Pillow has multiplied
            if found.predictor == 2:
                for left in range(0, found.width * found.together, columns * found.together):
                    _add_up(samples[:, left : left + columns * found.together], found.together)
            yield top, samples

    def _as_grey(self, numbers: range, height: int) -> io.BytesIO:
        """A TIFF file of the same strips or tiles, below each other, in which each sample is a grey pixel."""
        found, (rows, columns) = self._found, self._found.block
        contents = [self._content(number) for number in numbers]
        lengths = [len(content) for content in contents]
        offsets = np.cumsum([_HEADER, *lengths])[:-1].tolist()
        tags = {
            _WIDTH: [found.width * found.together], _HEIGHT: [height], _BITS: [found.bits],
            _COMPRESSION: [found.compression], _COLOURS: [_BLACK_IS_0], _FILL_ORDER: [found.fill_order], _SAMPLES: [1],
        }  # fmt: skip
        if found.tiled:
            tags |= {_TILE_WIDTH: [columns * found.together], _TILE_HEIGHT: [rows]}
            tags |= {_TILE_OFFSETS: offsets, _TILE_COUNTS: lengths}
        else:
            tags |= {_STRIP_OFFSETS: offsets, _ROWS_PER_STRIP: [rows], _STRIP_COUNTS: lengths}
        return _write(tags, contents, self._order if found.bits == 16 else b"II")

    def _content(self, number: int) -> bytes:
        count = self._counts[number]
        if count > 2 * self._size(number) + 1024:  # no compression makes pixels longer than that
            raise ValueError("a strip or tile is longer than its pixels")
        self._file.seek(self._offsets[number])
        content = self._file.read(count)
        if len(content) < count:
            raise ValueError("it is cut short")
        return content


def _add_up(samples: np.ndarray, together: int) -> None:
    """Undoes horizontal differencing in a strip or tile [rows, columns * together], in place."""
    pixels = samples.reshape(len(samples), -1, together)
    samples[:] = np.cumsum(pixels, axis=1, dtype=samples.dtype).reshape(samples.shape)


def _write(tags: dict[int, list[int]], contents: list[bytes], order: bytes) -> io.BytesIO:
    """A TIFF file of these strips and tags, all of them lists of whole numbers."""
    endian = "<" if order == b"II" else ">"
    position = _HEADER + sum(map(len, contents))
    arrays, entries = b"", struct.pack(f"{endian}H", len(tags))
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{endian}{len(values)}I", *values)
        if len(values) > 1:
            packed, arrays = struct.pack(f"{endian}I", position + len(arrays)), arrays + packed
        entries += struct.pack(f"{endian}HHI", tag, _LONG, len(values)) + packed
    header = order + struct.pack(f"{endian}HI", 42, position + len(arrays))
    return io.BytesIO(b"".join([header, *contents, arrays, entries, bytes(4)]))
