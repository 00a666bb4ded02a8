"""What a file says about its colours in code points (CICP, ITU-T H.273): whether they are those of sRGB.

HDR pictures (PQ and HLG) say so in no other way. Read as sRGB, they would be pale and dark, and a distance between them
would mean nothing.
"""

from pim_jax.data import boxes

UNSPECIFIED = 2
_PQ, _HLG = 16, 18
# BT.709 and BT.601 curves are shown as sRGB is. The primaries of BT.601 differ by less than screens do.
_TRANSFERS = {1, UNSPECIFIED, 6, 13, 14, 15}
_PRIMARIES = {1, UNSPECIFIED, 5, 6}


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


def check_profile(icc: bytes) -> None:
    """Checks that a colour profile does not say, in code points, that it is for HDR pictures.

    Args:
      icc: the profile; it may be damaged.

    Raises:
      ValueError: it is for HDR pictures.
    """
    for entry in range(132, min(len(icc), 132 + 12 * int.from_bytes(icc[128:132], "big")), 12):
        position = int.from_bytes(icc[entry + 4 : entry + 8], "big") + 8  # behind the tag's name and zeros
        if icc[entry : entry + 4] == b"cicp" and position + 2 <= len(icc):
            check_srgb(UNSPECIFIED, icc[position + 1] if icc[position + 1] in (_PQ, _HLG) else UNSPECIFIED)


def in_avif(content: bytes) -> list[tuple[int, int]]:
    """The primaries and transfer characteristics that the boxes of an AVIF file give, of all pictures in it.

    Args:
      content: of the file; it may be damaged.
    """
    colours = boxes.inside(content, b"meta", b"iprp", b"ipco", b"colr")
    return [
        (int.from_bytes(box[4:6], "big"), int.from_bytes(box[6:8], "big"))
        for box in colours
        if box.startswith(b"nclx") and len(box) >= 8
    ]
