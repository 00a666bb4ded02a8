"""Which format a picture file is in, by its first bytes or else by its name, be it one that is read or not.

`images` names in its errors what it cannot read, and whoever reads a folder can tell a picture that is not read from a
file that is none.
"""

import os
from pathlib import Path

from PIL import features

# Formats that are not read, and the suffixes of their files.
_UNREAD_SUFFIXES = {
    "HEIC": (".heic", ".heics", ".heif", ".heifs", ".hif"),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr", ".wdp", ".hdp"),
    "Photoshop": (".psd", ".psb"),
    "OpenEXR": (".exr",),
    "Radiance HDR": (".hdr", ".rgbe"),
    "a camera's raw file": (
        ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".rwl", ".pef",
        ".srw", ".x3f", ".3fr", ".fff", ".iiq", ".dcr", ".kdc", ".mrw", ".erf", ".mef", ".mos", ".gpr",
    ),
    "DDS": (".dds",),
    "an icon": (".ico", ".cur", ".icns"),
    "a drawing": (".svg", ".svgz", ".eps", ".wmf", ".emf"),
    "DPX": (".dpx", ".cin"),
    "GIMP": (".xcf",),
    "BPG": (".bpg",),
    "FLIF": (".flif",),
    "FITS": (".fits", ".fit"),
    "an X bitmap": (".xbm", ".xpm"),
    "Sun raster": (".ras",),
}  # fmt: skip
UNREAD = frozenset(_UNREAD_SUFFIXES) | (frozenset() if features.check("avif") else {"AVIF"})

_READ_SUFFIXES = {
    "AVIF": (".avif", ".avifs"), "BMP": (".bmp", ".dib"), "GIF": (".gif",), "PCX": (".pcx",), "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG 2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "QOI": (".qoi",), "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "TGA": (".tga", ".icb", ".vda", ".vst"), "TIFF": (".tif", ".tiff"), "WebP": (".webp",),
}  # fmt: skip
_SUFFIXES = {suffix: kind for kind, names in (_READ_SUFFIXES | _UNREAD_SUFFIXES).items() for suffix in names}

# How files begin, where that is enough to know them by.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"qoif": "QOI",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL", b"II\xbc": "JPEG XR", b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"#?RGBE": "Radiance HDR",
    b"FUJIFILMCCD-RAW": "a camera's raw file", b"IIRO": "a camera's raw file", b"IIRS": "a camera's raw file",
    b"MMOR": "a camera's raw file", b"IIU\0": "a camera's raw file", b"FOVb": "a camera's raw file",
    b"DDS ": "DDS", b"icns": "an icon", b"SDPX": "DPX", b"XPDS": "DPX", b"gimp xcf": "GIMP", b"BPG\xfb": "BPG",
    b"FLIF": "FLIF", b"%!PS-Adobe": "a drawing",
}  # fmt: skip
_BRANDS = {  # of a file whose first box is called ftyp; videos have others
    b"avif": "AVIF", b"avis": "AVIF", b"crx ": "a camera's raw file",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
}  # fmt: skip


def kind(path: str | os.PathLike) -> str | None:
    """The format of a picture file.

    Args:
      path: a file; one that is not there, or that cannot be read, is known by its name.

    Returns:
      a name of the format, such as "PNG"; one of `UNREAD` where that is not read; None for what is no picture.

    Examples:
      >>> [kind(name) for name in ("a.png", "b.HEIC", "c.jxl", "d.csv", "e.mp4")]
      ['PNG', 'HEIC', 'JPEG XL', None, None]
    """
    return _by_content(_beginning(path)) or _SUFFIXES.get(Path(path).suffix.lower())


def _by_content(beginning: bytes) -> str | None:
    if beginning[4:8] == b"ftyp":
        return _BRANDS.get(beginning[8:12])
    if beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP":
        return "WebP"
    return next((kind for start, kind in _BEGINNINGS.items() if beginning.startswith(start)), None)


def _beginning(path: str | os.PathLike) -> bytes:
    try:
        if not os.path.isfile(path):  # a pipe, for one, would be waited for
            return b""
        with open(path, "rb") as file:
            return file.read(32)
    except OSError:
        return b""
