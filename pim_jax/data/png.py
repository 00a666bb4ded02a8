"""PNG files without what does not matter to their pixels.

Text, thumbnails and histories in a PNG file may be of any size, damaged, or made to fill memory when they are unpacked.
Decoders unpack or refuse them, though no pixel depends on them. So they never get to see them.
"""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE = 2**26  # bytes of a colour profile; the largest that printers ship have a few million

# Pixels, their transparency, frames of an animation (which is refused), and EXIF, for the orientation.
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"eXIf"}
_OLD_EXIF = b"Raw profile type exif\0"  # where EXIF was put before there was eXIf
_MAX_OLD_EXIF = 2**20  # bytes, unpacked: as many as Pillow takes


def reduced(content: bytes) -> bytes:
    """A PNG file without the chunks that no pixel depends on; the rest is as it was.

    Args:
      content: of the file; it may be damaged.

    Returns:
      the content of a file with the same pixels and orientation.

    Examples:
      >>> import io
      >>> from PIL import Image, PngImagePlugin
      >>> text, file = PngImagePlugin.PngInfo(), io.BytesIO()
      >>> text.add_text("Comment", "A" * 5_000_000, zip=True)
      >>> Image.new("L", (4, 2)).save(file, "PNG", pnginfo=text)
      >>> len(reduced(file.getvalue())) < 100
      True
    """
    kept = [SIGNATURE]
    for name, start, end in _chunks(content):
        if name in _KEPT or (name in (b"tEXt", b"zTXt") and _is_old_exif(content[start + 8 : end - 4])):
            kept.append(content[start:end])
    return b"".join(kept)


def profile(content: bytes) -> bytes | None:
    """The colour profile (ICC) in a PNG file, or None.

    Raises:
      ValueError: the profile is damaged or has more than `MAX_PROFILE` bytes.
    """
    chunk = _find(content, b"iCCP")
    if chunk is None:
        return None
    packed = chunk.partition(b"\0")[2]  # behind the name
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed[1:], MAX_PROFILE)  # behind a byte for the compression
    except zlib.error as error:
        raise ValueError("its colour profile is damaged; remove it or convert the file to sRGB") from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"its colour profile has more than {MAX_PROFILE:,} bytes; convert the file to sRGB")
    return unpacked


def code_points(content: bytes) -> tuple[int, int] | None:
    """The colour primaries and transfer characteristics that a PNG file gives as code points (cICP), or None."""
    chunk = _find(content, b"cICP")
    return (chunk[0], chunk[1]) if chunk and len(chunk) == 4 else None


def _find(content: bytes, wanted: bytes) -> bytes | None:
    """The data of the first chunk of a name."""
    return next((content[start + 8 : end - 4] for name, start, end in _chunks(content) if name == wanted), None)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of every chunk; the last may be cut short."""
    start = len(SIGNATURE)
    while start < len(content):
        name, end = content[start + 4 : start + 8], start + 12 + int.from_bytes(content[start : start + 4], "big")
        yield name, start, end
        if name == b"IEND":
            return
        start = end


def _is_old_exif(data: bytes) -> bool:
    if not data.startswith(_OLD_EXIF):
        return False
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(data[data.index(b"\0") + 2 :], _MAX_OLD_EXIF)
    except zlib.error:
        return len(data) <= _MAX_OLD_EXIF  # not packed, or damaged, which Pillow passes over
    return not unpacker.unconsumed_tail
