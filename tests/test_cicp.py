"""HDR pictures are refused, wherever their file says in code points that they are HDR; sRGB is read."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from test_images import ADOBE_RGB, BYTES, DEEP, chunk, deep_png, icc_profile, refusal

from pim_jax.data import cicp, images

HDR = [(9, 16, "HDR picture (PQ)"), (9, 18, "HDR picture (HLG)"), (1, 16, "HDR picture (PQ)")]
OTHERS = [(9, 13, "not sRGB"), (12, 13, "not sRGB"), (1, 8, "not sRGB"), (1, 4, "not sRGB")]
SRGB = [(1, 13), (2, 2), (1, 1), (6, 6), (1, 2)]


def png_with(path, primaries, transfer, *chunks):
    deep_png(path, DEEP[..., :3], chunk(b"cICP", bytes([primaries, transfer, 0, 1])), *chunks)


def avif_with(path, primaries, transfer, **options):
    Image.fromarray(BYTES).save(path, quality=100, subsampling="4:4:4", **options)
    content = path.read_bytes()
    at = content.index(b"colrnclx") + 8
    path.write_bytes(content[:at] + struct.pack(">HH", primaries, transfer) + content[at + 4 :])


@pytest.mark.parametrize(("primaries", "transfer", "reason"), HDR + OTHERS)
@pytest.mark.parametrize(("suffix", "write"), [("png", png_with), ("avif", avif_with)])
def test_other_colours_than_those_of_srgb_are_refused(tmp_path, suffix, write, primaries, transfer, reason):
    write(tmp_path / f"a.{suffix}", primaries, transfer)
    assert reason in refusal(tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match=reason.split(" (")[0]):
        images.size(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("primaries", "transfer"), SRGB)
def test_srgb_by_code_points_is_read(tmp_path, primaries, transfer):
    png_with(tmp_path / "a.png", primaries, transfer)
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), DEEP[..., :3] / 65535, atol=1e-7)
    avif_with(tmp_path / "a.avif", primaries, transfer)
    Image.fromarray(BYTES).save(tmp_path / "b.avif", quality=100, subsampling="4:4:4")
    np.testing.assert_array_equal(images.read(tmp_path / "a.avif"), images.read(tmp_path / "b.avif"))


def test_code_points_in_png_go_before_a_profile(tmp_path):
    import zlib

    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(icc_profile(b"RGB ", ADOBE_RGB)))
    png_with(tmp_path / "a.png", 1, 13, profile)
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), DEEP[..., :3] / 65535, atol=1e-7)


def test_a_profile_in_avif_goes_before_primaries_and_not_before_hdr(tmp_path):
    avif_with(tmp_path / "a.avif", 1, 13, icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    avif_with(tmp_path / "b.avif", 9, 13, icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    np.testing.assert_array_equal(images.read(tmp_path / "a.avif"), images.read(tmp_path / "b.avif"))
    avif_with(tmp_path / "c.avif", 9, 16, icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    assert "HDR picture (PQ)" in refusal(tmp_path / "c.avif")


def with_code_points(icc, transfer):
    """A profile with one more tag, which says what the colours are in code points."""
    count = int.from_bytes(icc[128:132], "big")
    entries = bytearray(icc[132 : 132 + 12 * count])
    for entry in range(0, len(entries), 12):
        position = int.from_bytes(entries[entry + 4 : entry + 8], "big")
        entries[entry + 4 : entry + 8] = struct.pack(">I", position + 12)
    body = icc[132 + 12 * count :]
    entries += b"cicp" + struct.pack(">II", 132 + len(entries) + 12 + len(body), 12)
    tag = b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])
    content = icc[:128] + struct.pack(">I", count + 1) + bytes(entries) + body + tag
    return struct.pack(">I", len(content)) + content[4:]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_profile_for_hdr_is_refused_in_every_format(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(BYTES).save(path, icc_profile=with_code_points(icc_profile(b"RGB ", ADOBE_RGB), 16))
    assert "HDR picture (PQ)" in refusal(path)
    Image.fromarray(BYTES).save(path, icc_profile=with_code_points(icc_profile(b"RGB ", ADOBE_RGB), 1))
    assert images.read(path).shape == (24, 36, 3)


@pytest.mark.parametrize("length", [0, 4, 127, 130, 132, 140, 200])
def test_a_damaged_profile_is_none_of_hdr(length):
    cicp.check_profile(with_code_points(icc_profile(b"RGB ", ADOBE_RGB), 16)[:length])


def test_a_jpeg_with_a_gain_map_is_its_sdr_picture(tmp_path):
    """A gain map is a second JPEG behind the first, which the first's metadata names."""
    picture, gain = io.BytesIO(), io.BytesIO()
    Image.fromarray(BYTES).save(picture, "JPEG", quality=95)
    Image.new("L", (18, 12), 128).save(gain, "JPEG")
    xmp = b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    start = picture.getvalue()[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    (tmp_path / "a.jpg").write_bytes(start + picture.getvalue()[2:] + gain.getvalue())
    (tmp_path / "b.jpg").write_bytes(picture.getvalue())
    np.testing.assert_array_equal(images.read(tmp_path / "a.jpg"), images.read(tmp_path / "b.jpg"))
