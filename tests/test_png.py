"""Text, profiles and EXIF in a PNG file, of any size, do not matter to its pixels."""

import io
import itertools
import random
import struct
import subprocess
import sys
import zlib

import marks
import numpy as np
import pytest
from PIL import Image, ImageCms
from test_images import ADOBE_RGB, BYTES, DEEP, chunk, deep_png, icc_profile, refusal, upright

from pim_jax.data import images, png

NOISE = random.Random(0).randbytes(3_000_000)
LONG = b"A" * 5_000_000
TEXT = {
    "packed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
    "text": chunk(b"tEXt", b"Comment\0" + LONG),
    "noise": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(NOISE, 0)),
    "international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(LONG)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG),
    "packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
    "no text": chunk(b"zTXt", b"Comment\0\7not zlib"),
    "broken text": chunk(b"zTXt", b"Comment\0\0not zlib"),
    "no keyword": chunk(b"tEXt", b""),
    "short resolution": chunk(b"pHYs", b"\0"),
    "short gamma": chunk(b"gAMA", b"\0"),
    "unknown": chunk(b"prVt", NOISE),
    "old EXIF": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(LONG)),
    "texts of 70 million letters": chunk(b"tEXt", b"a\0" + b"b" * 7_000_000) * 10,
}


@pytest.mark.parametrize("name", [*list(TEXT)[:-1], *marks.nightly(list(TEXT)[-1])])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_no_text_matters_to_the_pixels(tmp_path, name, deep, behind):
    path = tmp_path / "a.png"
    if deep:
        deep_png(path, DEEP[..., :3])
        expected = DEEP[..., :3] / 65535
    else:
        Image.fromarray(BYTES).save(path)
        expected = BYTES / 255
    content = path.read_bytes()
    at = len(content) - 12 if behind else 33  # before the last chunk, or behind the first
    path.write_bytes(content[:at] + TEXT[name] + content[at:])
    assert images.size(path) == expected.shape[:2]
    np.testing.assert_allclose(images.read(path), expected, atol=1e-7)


@pytest.mark.parametrize("deep", [False, True])
def test_a_profile_of_any_size_is_applied(tmp_path, deep):
    """Printers' profiles hold tables of millions of bytes; Pillow unpacks one million."""
    levels = np.array(list(itertools.product([90, 110, 140], repeat=3)), np.uint8)[None]
    profile = icc_profile(b"RGB ", ADOBE_RGB)
    Image.fromarray(levels).save(tmp_path / "small.png", icc_profile=profile)
    large = profile + NOISE
    large = struct.pack(">I", len(large)) + large[4:]
    extra = chunk(b"iCCP", b"a\0\0" + zlib.compress(large))
    deep_png(tmp_path / "large.png", levels.astype(np.uint16) * 257, extra)
    np.testing.assert_allclose(images.read(tmp_path / "large.png"), images.read(tmp_path / "small.png"), atol=1e-7)


def test_a_profile_that_fills_memory_is_refused(tmp_path):
    extra = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(png.MAX_PROFILE + 1)))
    deep_png(tmp_path / "a.png", DEEP[..., :3], extra)
    assert f"more than {png.MAX_PROFILE:,} bytes" in refusal(tmp_path / "a.png")


def test_a_damaged_profile_is_refused(tmp_path):
    deep_png(tmp_path / "a.png", DEEP[..., :3], chunk(b"iCCP", b"a\0\0not zlib"))
    assert "profile is damaged" in refusal(tmp_path / "a.png")


def test_memory_does_not_grow_with_text_that_fills_memory(tmp_path):
    """In a process of its own, which says how much it took."""
    packer, packed = zlib.compressobj(), b""
    for _ in range(4):
        packed += packer.compress(bytes(2**26))
    packed += packer.flush()
    deep_png(tmp_path / "a.png", DEEP[..., :3], *[chunk(b"zTXt", b"Comment\0\0" + packed)] * 3)
    code = (
        "import resource, sys; from pim_jax.data import images; images.size(sys.argv[2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "images.read(sys.argv[1]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    deep_png(tmp_path / "b.png", DEEP[..., :3])
    command = [sys.executable, "-c", code, tmp_path / "a.png", tmp_path / "b.png"]
    taken = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert taken < 200_000  # KiB


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("size", [0, 5_000_000])
def test_exif_of_any_size_turns_the_picture(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0") + bytes(size))
    deep_png(tmp_path / "a.png", DEEP[..., :3], extra)
    expected = upright(DEEP[..., :3], orientation)
    assert images.size(tmp_path / "a.png") == expected.shape[:2]
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), expected / 65535, atol=1e-7)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt"])
def test_exif_as_old_programs_wrote_it_turns_the_picture(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    text = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()
    packed = b"\0" + zlib.compress(text) if name == b"zTXt" else text
    deep_png(tmp_path / "a.png", DEEP[..., :3], chunk(name, b"Raw profile type exif\0" + packed))
    expected = upright(DEEP[..., :3], 6)
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), expected / 65535, atol=1e-7)


def test_transparency_and_palette_are_kept():
    file = io.BytesIO()
    Image.fromarray(BYTES).quantize(16).save(
        file, "PNG", transparency=3, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    with Image.open(io.BytesIO(png.reduced(file.getvalue()))) as small, Image.open(file) as whole:
        np.testing.assert_array_equal(small.convert("RGBA"), whole.convert("RGBA"))
        assert "icc_profile" not in small.info


@pytest.mark.parametrize("length", [*range(8, 60), 100])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, length):
    deep_png(tmp_path / "a.png", DEEP[..., :3])
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:length])
    refusal(tmp_path / "a.png")
