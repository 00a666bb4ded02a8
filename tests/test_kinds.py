"""Pictures are known by their content, or else by their name, whether they are read or not."""

import struct

import pytest
from PIL import Image
from test_images import refusal

from pim_jax.data import images, kinds

UNREAD = {
    "a.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    "a.hif": (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "HEIC"),
    "a.jxl": (b"\xff\x0a", "JPEG XL"),
    "b.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
    "a.psd": (b"8BPS\0\1", "Photoshop"),
    "a.exr": (b"v/1\x01\2\0\0\0", "OpenEXR"),
    "a.hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "Radiance HDR"),
    "a.cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
    "a.raf": (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
    "a.orf": (b"IIRO\x08\0\0\0", "a camera's raw file"),
    "a.rw2": (b"IIU\0\x18\0\0\0", "a camera's raw file"),
    "a.dds": (b"DDS |\0\0\0", "DDS"),
    "a.jxr": (b"II\xbc\1\x20\0\0\0", "JPEG XR"),
    "a.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing"),
    "a.xcf": (b"gimp xcf v011", "GIMP"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_format_that_is_not_read_is_named(tmp_path, name):
    content, kind = UNREAD[name]
    (tmp_path / name).write_bytes(content + bytes(200))
    assert kinds.kind(tmp_path / name)
    assert kinds.kind(tmp_path / name) == kind
    assert f"it is {kind}, which is not read" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", [name for name, (content, _) in UNREAD.items() if content[:1] not in (b"\xff", b"<")])
def test_content_goes_before_the_name(tmp_path, name):
    content, kind = UNREAD[name]
    (tmp_path / "a.png").write_bytes(content + bytes(200))
    assert f"it is {kind}, which is not read" in refusal(tmp_path / "a.png")
    (tmp_path / "without").write_bytes(content)
    assert kinds.kind(tmp_path / "without")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "QOI", "TIFF", "JPEG2000", "WEBP", "AVIF"])
def test_a_picture_that_is_read_needs_no_name(tmp_path, kind):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", kind)
    (tmp_path / "a.png").rename(tmp_path / "0001")
    assert kinds.kind(tmp_path / "0001")
    assert kinds.kind(tmp_path / "0001") not in kinds.UNREAD


def test_every_suffix_that_pillow_has_for_what_is_read_is_a_pictures():
    for suffix, kind in Image.registered_extensions().items():
        if kind in images.FORMATS:
            assert kinds.kind(f"a{suffix}"), suffix
            assert kinds.kind(f"a{suffix.upper()}"), suffix


@pytest.mark.parametrize("name", ["a.heic", "a.JXL", "a.DNG", "a.nef", "a.psb", "a.exr", "a.avif", "a.ico", "a.eps"])
def test_an_empty_file_is_known_by_its_name(tmp_path, name):
    (tmp_path / name).touch()
    assert kinds.kind(tmp_path / name)
    refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"name,distance\n"),
        ("a.txt", b"BMW and P5 are no pictures"),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"),
        ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "),
        ("a.npz", b"PK\3\4"),
        ("a.mpg", b"\0\0\1\xba"),
        ("a.h5", b"\x89HDF\r\n\x1a\n"),
        ("a.wav", b"RIFF\0\0\0\0WAVEfmt "),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0"),
        ("LICENSE", b"Apache License"),
        ("empty", b""),
    ],
)
def test_what_is_no_picture_is_not_taken_for_one(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert not kinds.kind(tmp_path / name)


def test_a_video_with_the_name_of_a_picture_is_named_so_that_it_is_not_passed_over(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    assert kinds.kind(tmp_path / "a.png")


def test_folders_pipes_and_missing_files_are_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    assert not any(kinds.kind(tmp_path / name) for name in ("a", "folder", "missing"))


@pytest.mark.skipif("AVIF" in kinds.UNREAD, reason="this Pillow reads no AVIF")
def test_a_damaged_file_of_a_format_that_is_read_is_not_called_unread(tmp_path):
    (tmp_path / "a.avif").write_bytes(struct.pack(">I8s", 16, b"ftypavif") + bytes(60))
    reason = refusal(tmp_path / "a.avif")
    assert "which is not read" not in reason
