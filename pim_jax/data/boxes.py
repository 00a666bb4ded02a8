"""The boxes of which AVIF and JPEG 2000 files are made: each has a size, a name of four letters and contents."""

from collections.abc import Iterator

_AHEAD = {b"meta": 4}  # bytes before the boxes in a box, where there are any


def inside(content: bytes, *path: bytes) -> Iterator[bytes]:
    """The contents of all boxes at a path.

    Args:
      content: of the file; it may be damaged, which ends the search.
      path: names of boxes, from the outermost.

    Examples:
      >>> list(inside(b"\\0\\0\\0\\x14jp2h\\0\\0\\0\\x0ccdef1234", b"jp2h", b"cdef"))
      [b'1234']
    """
    name, *deeper = path
    for found, box in _boxes(content):
        if found == name and deeper:
            yield from inside(box[_AHEAD.get(name, 0) :], *deeper)
        elif found == name:
            yield box


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 8 <= len(content):
        size, name, header = int.from_bytes(content[start : start + 4], "big"), content[start + 4 : start + 8], 8
        if size == 1:
            size, header = int.from_bytes(content[start + 8 : start + 16], "big"), 16
        end = start + size if size else len(content)
        if end < start + header:
            return
        yield name, content[start + header : end]
        start = end
