"""What a file says about its colours in code points (CICP, ITU-T H.273): whether they are those of sRGB.

HDR pictures (PQ and HLG) say so in no other way. Read as sRGB, they would be pale and dark, and a distance between them
would mean nothing.
"""

from collections.abc import Iterator

UNSPECIFIED = 2
_PQ, _HLG = 16, 18
# BT.709 and BT.601 curves are shown as sRGB is. The primaries of BT.601 differ by less than screens do.
_TRANSFERS = {1, UNSPECIFIED, 6, 13, 14, 15}
_PRIMARIES = {1, UNSPECIFIED, 5, 6}
_BOXES = {b"meta": 4, b"iprp": 0, b"ipco": 0}  # the way to an AVIF file's colours; bytes before their contents


def check_srgb(primaries: int, transfer: int) -> None:
    """Checks that colours are those of sRGB, or near enough.

    Args:
      primaries: the code point of the colour primaries.
      transfer: the code point of the transfer characteristics.

    Raises:
      ValueError: they are HDR, or of another kind that would have to be converted.
    """
    if transfer in (_PQ, _HLG):
        kind = "PQ" if transfer == _PQ else "HLG"
        raise ValueError(f"it is an HDR picture ({kind}), and distances are defined on sRGB; tone-map it to sRGB first")
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise ValueError(
            f"its colours are not sRGB (primaries {primaries}, transfer {transfer} in CICP); convert it to sRGB"
        )


def in_avif(content: bytes) -> list[tuple[int, int]]:
    """The primaries and transfer characteristics that the boxes of an AVIF file give, of all pictures in it.

    Args:
      content: of the file; it may be damaged.
    """
    return [
        (int.from_bytes(box[4:6], "big"), int.from_bytes(box[6:8], "big"))
        for name, box in _boxes(content)
        if name == b"colr" and box[:4] == b"nclx" and len(box) >= 8
    ]


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 8 <= len(content):
        size, name, header = int.from_bytes(content[start : start + 4], "big"), content[start + 4 : start + 8], 8
        if size == 1:
            size, header = int.from_bytes(content[start + 8 : start + 16], "big"), 16
        end = start + size if size else len(content)
        if end < start + header:
            return
        box = content[start + header : end]
        yield name, box
        if name in _BOXES:
            yield from _boxes(box[_BOXES[name] :])
        start = end
