"""Boxes are found at their path, and a damaged file ends the search."""

import struct

import pytest

from pim_jax.data import boxes


def box(name, content, size=None):
    return struct.pack(">I4s", len(content) + 8 if size is None else size, name) + content


def test_boxes_are_found_at_their_path_and_nowhere_else():
    content = box(b"ftyp", b"avif") + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", box(b"colr", b"1"))))
    content += box(b"colr", b"2") + box(b"iprp", box(b"ipco", box(b"colr", b"3")))
    assert list(boxes.inside(content, b"meta", b"iprp", b"ipco", b"colr")) == [b"1"]
    assert list(boxes.inside(content, b"colr")) == [b"2"]


def test_long_and_open_sizes_are_known():
    content = struct.pack(">I4sQ", 1, b"long", 20) + b"1234" + box(b"last", b"56", size=0)
    assert list(boxes.inside(content, b"long")) == [b"1234"]
    assert list(boxes.inside(content, b"last")) == [b"56"]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_size_smaller_than_its_own_header_ends_the_search(size):
    assert list(boxes.inside(box(b"free", b"", size=size) + box(b"colr", b"1"), b"colr")) == []


def test_a_size_beyond_the_end_gives_what_is_there():
    assert list(boxes.inside(box(b"colr", b"12", size=2**32 - 1), b"colr")) == [b"12"]
