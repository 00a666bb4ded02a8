"""Every kind of file that `pim_jax.data.images` claims to read, written here and read back."""

import itertools
import os
import struct
import warnings
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from pim_jax.data import images

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (24, 36, 3), dtype=np.uint8)
GREY = BYTES[..., 0]
DEEP = RNG.integers(0, 65536, (24, 36, 4), dtype=np.uint16)  # not multiples of 257: 8 bits cannot hold it


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(path, pixels, *extra_chunks):
    """Writes 16-bit pixels [H, W, C] as PNG, which Pillow cannot for more than one channel."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + b"".join(extra_chunks) + body)


def deep_tiff(path, pixels, order="<", orientation=1):
    """Writes 16-bit pixels [H, W, 3] as an uncompressed TIFF of either byte order."""
    height, width, channels = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    bits_at = 8 + len(data)
    short, long = 3, 4
    tags = [
        (256, short, 1, width), (257, short, 1, height), (258, short, channels, bits_at), (259, short, 1, 1),
        (262, short, 1, 2), (273, long, 1, 8), (274, short, 1, orientation), (277, short, 1, channels),
        (278, short, 1, height), (279, long, 1, len(data)),
    ]  # fmt: skip
    entries = b""
    for tag, kind, count, value in tags:
        inline = kind == short and count == 1
        packed = struct.pack(order + ("HH" if inline else "I"), *((value, 0) if inline else (value,)))
        entries += struct.pack(order + "HHI", tag, kind, count) + packed
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", bits_at + 2 * channels)
    bits = struct.pack(order + f"{channels}H", *[16] * channels)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    path.write_bytes(start + data + bits + directory)


ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def icc_profile(space, primaries=None, gamma=2.2):
    """A version 2 display profile: a gamma curve for grey, three and the primaries (D50 XYZ in columns) for RGB."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    white = b"XYZ \0\0\0\0" + fixed([0.9642, 1.0, 0.8249])
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(81)
    tags = {b"desc": name, b"wtpt": white, b"cprt": b"text\0\0\0\0none\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip(b"rgb", primaries.T, strict=True):
            tags[bytes([letter]) + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(column)
            tags[bytes([letter]) + b"TRC"] = curve
    table, data = b"", b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    length = 132 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s12s4s", length, b"lcms", 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp")
    header = (header + bytes(28) + fixed([0.9642, 1.0, 0.8249])).ljust(128, b"\0")
    return header + struct.pack(">I", len(tags)) + table + data


def srgb_encode(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "tga", "webp", "jp2"])
def test_lossless_bytes_are_read_as_fractions_of_255(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(BYTES).save(path, **({"lossless": True} if suffix == "webp" else {}))
    pixels = images.read(path)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, BYTES / np.float32(255))
    assert images.size(path) == (24, 36)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "gif"])
def test_lossy_formats_come_back_close(tmp_path, suffix):
    ramp = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (64, 48, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / f"a.{suffix}", quality=95)
    np.testing.assert_allclose(images.read(tmp_path / f"a.{suffix}"), ramp / 255, atol=0.05)


def test_grey_becomes_three_equal_channels(tmp_path):
    expected = np.repeat(GREY[..., None], 3, axis=-1) / np.float32(255)
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([GREY, np.full_like(GREY, 255)], -1)).save(tmp_path / "grey_alpha.png")
    np.testing.assert_array_equal(images.read(tmp_path / "grey.png"), expected)
    np.testing.assert_array_equal(images.read(tmp_path / "grey_alpha.png"), expected)


def test_bilevel_is_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png")[..., 0], (GREY > 127).astype(np.float32))


def test_palette_equals_its_colours(tmp_path):
    palette = Image.fromarray(BYTES).quantize(17)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), np.asarray(palette.convert("RGB")) / np.float32(255))


def test_opaque_alpha_changes_nothing(tmp_path):
    Image.fromarray(np.dstack([BYTES, np.full_like(GREY, 255)])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), BYTES / np.float32(255))


def test_transparency_is_laid_over_mid_grey(tmp_path):
    Image.fromarray(np.dstack([BYTES, GREY])).save(tmp_path / "a.png")
    alpha = GREY[..., None] / 255
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), BYTES / 255 * alpha + 0.5 * (1 - alpha), atol=1e-6)


def test_colours_under_transparent_pixels_are_never_seen(tmp_path):
    invisible = np.zeros_like(GREY)
    Image.fromarray(np.dstack([BYTES, invisible])).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([255 - BYTES, invisible])).save(tmp_path / "b.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), images.read(tmp_path / "b.png"))


def test_a_transparent_palette_entry_is_transparent(tmp_path):
    palette = Image.frombytes("P", (36, 24), (GREY > 127).astype(np.uint8).tobytes())
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "a.png", transparency=0)
    expected = np.where((GREY > 127)[..., None], [0.0, 0.0, 1.0], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_its_16_bits(tmp_path, channels):
    deep_png(tmp_path / "a.png", DEEP[..., :channels])
    values = DEEP / 65535
    colour = np.broadcast_to(values[..., :1], (24, 36, 3)) if channels < 3 else values[..., :3]
    if channels in (2, 4):
        alpha = values[..., channels - 1 : channels]
        colour = colour * alpha + 0.5 * (1 - alpha)
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), colour, atol=1e-7)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_keeps_its_16_bits(tmp_path, order):
    deep_tiff(tmp_path / "a.tif", DEEP[..., :3], order)
    np.testing.assert_allclose(images.read(tmp_path / "a.tif"), DEEP[..., :3] / 65535, atol=1e-7)


@pytest.mark.parametrize("suffix", ["png", "tiff", "jp2"])
def test_16_bit_grey_keeps_its_16_bits(tmp_path, suffix):
    Image.fromarray(DEEP[..., 0]).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(images.read(tmp_path / f"a.{suffix}")[..., 1], DEEP[..., 0] / 65535, atol=1e-7)


@pytest.mark.parametrize(("magic", "channels"), [("P5", 1), ("P6", 3)])
@pytest.mark.parametrize("maximum", [200, 1023, 65535])
def test_netpbm_values_are_fractions_of_their_maximum(tmp_path, magic, channels, maximum):
    values = DEEP[..., :channels].astype(int) % (maximum + 1)
    data = values.astype(np.uint8 if maximum < 256 else ">u2").tobytes()
    (tmp_path / "a.pnm").write_bytes(f"{magic}\n36 24\n{maximum}\n".encode() + data)
    half_a_step = 0.51 / (255 if maximum < 256 else 65535)
    expected = np.broadcast_to(values / maximum, (24, 36, 3))
    np.testing.assert_allclose(images.read(tmp_path / "a.pnm"), expected, atol=half_a_step)


def test_16_and_8_bits_of_one_picture_are_equal(tmp_path):
    deep_png(tmp_path / "a.png", BYTES.astype(np.uint16) * 257)
    Image.fromarray(BYTES).save(tmp_path / "b.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), images.read(tmp_path / "b.png"))


def test_16_bit_file_names_are_taken_literally(tmp_path):
    for name in ["file:a%03d.png", "%d.png", "http:b.png"]:
        deep_png(tmp_path / name, DEEP[..., :3])
        np.testing.assert_allclose(images.read(tmp_path / name), DEEP[..., :3] / 65535, atol=1e-7)


def upright(pixels, orientation):
    """EXIF's eight orientations in Pillow's own terms."""
    turn = [None, *(Image.Transpose[name] for name in (
        "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"
    ))][orientation - 1]  # fmt: skip
    planes = [Image.fromarray(pixels[..., channel]) for channel in range(3)]
    return np.stack([np.asarray(plane if turn is None else plane.transpose(turn)) for plane in planes], axis=-1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff", "deep.png", "deep.tiff"])
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = DEEP[..., :3] if "deep" in suffix else BYTES
    if suffix == "deep.png":
        deep_png(path, pixels, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    elif suffix == "deep.tiff":
        deep_tiff(path, pixels, orientation=orientation)
    else:
        Image.fromarray(pixels).save(path, exif=exif)
    expected = upright(pixels, orientation)
    np.testing.assert_allclose(images.read(path), expected / np.iinfo(pixels.dtype).max, atol=1e-7)
    assert images.size(path) == expected.shape[:2]


ALPHA = RNG.integers(0, 256, (24, 36), dtype=np.uint8)
RGBA = np.dstack([BYTES, ALPHA])


def over_grey(colour, alpha):
    return colour / 255 * (alpha / 255)[..., None] + 0.5 * (1 - alpha / 255)[..., None]


def tga(path, pixels, bits_of_alpha, attributes=None, compression=None):
    """Writes RGBA as TGA with what its header, and the extension of version 2, say of alpha."""
    Image.fromarray(pixels).save(path, "TGA", compression=compression)
    content = bytearray(path.read_bytes().removesuffix(b"\0" * 8 + b"TRUEVISION-XFILE.\0"))
    content[17] = content[17] & 0xF0 | bits_of_alpha
    if attributes is not None:
        content += bytes(494) + bytes([attributes]) + struct.pack("<II", len(content), 0) + b"TRUEVISION-XFILE.\0"
    path.write_bytes(content)


@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize(
    ("bits", "attributes", "kind"),
    [
        (8, None, "straight"), (0, None, None), (8, 0, None), (8, 1, None), (8, 2, None), (8, 3, "straight"),
        (8, 4, "times"), (0, 3, None),
    ],
)  # fmt: skip
def test_alpha_in_tga_is_what_the_header_says(tmp_path, bits, attributes, kind, compression):
    pixels = RGBA.copy()
    if kind == "times":
        pixels[..., :3] = np.minimum(BYTES, ALPHA[..., None])
    tga(tmp_path / "a.tga", pixels, bits, attributes, compression)
    expected = over_grey(pixels[..., :3], ALPHA) if kind == "straight" else pixels[..., :3] / 255
    if kind == "times":
        expected = expected + 0.5 * (1 - ALPHA / 255)[..., None]
    np.testing.assert_allclose(images.read(tmp_path / "a.tga"), expected, atol=1e-6)


@pytest.mark.parametrize("bit", [0, 1, None])
@pytest.mark.parametrize("bits", [0, 1])
def test_the_bit_that_16_bit_tga_has_left_hides_nothing_or_is_refused(tmp_path, bits, bit):
    words = RNG.integers(0, 2**16, (24, 36), dtype=np.uint16)
    if bit is not None:
        words = words & 0x7FFF | bit << 15
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 36, 24, 16, 0x20 | bits)
    (tmp_path / "a.tga").write_bytes(header + words.tobytes())
    if bits == 1 and bit is None:
        assert "one bit of alpha" in refusal(tmp_path / "a.tga")
    else:
        colour = np.stack([words >> 10 & 31, words >> 5 & 31, words & 31], -1) / 31
        np.testing.assert_allclose(images.read(tmp_path / "a.tga"), colour, atol=1.01 / 255)


def test_grey_tga_with_alpha_that_is_none(tmp_path):
    tga(tmp_path / "a.tga", np.dstack([GREY, ALPHA]), 0)
    np.testing.assert_allclose(images.read(tmp_path / "a.tga")[..., 1], GREY / 255, atol=1e-7)


def bmp(path, pixels, masks=None, header_size=40):
    """Writes RGBA as BMP of 32 bits, with masks that say where the channels are."""
    masks = struct.pack(f"<{len(masks or ())}I", *masks or ())
    data = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII", header_size, 36, 24, 1, 32, 3 if masks else 0, len(data), 0, 0, 0, 0)
    header = header + masks if header_size == 40 else (header + masks).ljust(header_size, b"\0")
    start = 14 + len(header)
    path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + data)


COLOUR_MASKS = (0xFF0000, 0xFF00, 0xFF)


@pytest.mark.parametrize(
    ("masks", "header_size", "has_alpha"),
    [
        (None, 40, False), (COLOUR_MASKS, 40, False), ((*COLOUR_MASKS, 0), 56, False), ((*COLOUR_MASKS, 0), 108, False),
        ((*COLOUR_MASKS, 0xFF000000), 56, True), ((*COLOUR_MASKS, 0xFF000000), 124, True), ((0, 0, 0, 0), 108, False),
        (None, 124, False),
    ],
)  # fmt: skip
def test_alpha_in_bmp_is_what_the_masks_say(tmp_path, masks, header_size, has_alpha):
    bmp(tmp_path / "a.bmp", RGBA, masks, header_size)
    expected = over_grey(BYTES, ALPHA) if has_alpha else BYTES / 255
    np.testing.assert_allclose(images.read(tmp_path / "a.bmp"), expected, atol=1e-6)


def test_alpha_that_was_never_filled_hides_nothing(tmp_path):
    """Many programs leave it at 0, and all show the picture."""
    empty = np.dstack([BYTES, np.zeros_like(GREY)])
    bmp(tmp_path / "a.bmp", empty, (*COLOUR_MASKS, 0xFF000000), 124)
    tga(tmp_path / "a.tga", empty, 8)
    for name in ("a.bmp", "a.tga"):
        np.testing.assert_allclose(images.read(tmp_path / name), BYTES / 255, atol=1e-7)
    Image.fromarray(empty).save(tmp_path / "a.png")  # where it means what it says
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), 0.5)


@pytest.mark.parametrize(("kind", "expected"), [(0, None), (1, "straight"), (2, "times"), (65535, None)])
def test_alpha_in_jpeg_2000_is_what_its_channels_are_called(tmp_path, kind, expected):
    pixels = RGBA.copy()
    pixels[..., :3] = np.minimum(BYTES, ALPHA[..., None])
    Image.fromarray(pixels).save(tmp_path / "a.jp2")
    content = (tmp_path / "a.jp2").read_bytes()
    at = content.index(b"cdef") + 4 + 2 + 3 * 6 + 2
    (tmp_path / "a.jp2").write_bytes(content[:at] + struct.pack(">H", kind) + content[at + 2 :])
    wanted = over_grey(pixels[..., :3], ALPHA) if expected == "straight" else pixels[..., :3] / 255
    if expected == "times":
        wanted = wanted + 0.5 * (1 - ALPHA / 255)[..., None]
    np.testing.assert_allclose(images.read(tmp_path / "a.jp2"), wanted, atol=1e-6)
    content = content.replace(b"cdef", b"free")
    (tmp_path / "a.jp2").write_bytes(content)
    np.testing.assert_allclose(images.read(tmp_path / "a.jp2"), pixels[..., :3] / 255, atol=1e-6)


def test_a_tiff_that_is_opened_is_the_one_that_is_read(tmp_path):
    """As frames of a folder are, which are not read but opened."""
    deep_tiff(tmp_path / "a.tif", DEEP[..., :3], orientation=6)
    with images.opened(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image, np.round(images.read(tmp_path / "a.tif") * 255))


def test_an_srgb_profile_changes_no_bit(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(BYTES).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), BYTES / np.float32(255))
    deep_png(tmp_path / "b.png", DEEP[..., :3], chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile)))
    np.testing.assert_allclose(images.read(tmp_path / "b.png"), DEEP[..., :3] / 65535, atol=1e-7)


@pytest.mark.parametrize("deep", [False, True])
def test_a_wide_gamut_profile_is_converted_to_srgb(tmp_path, deep):
    # colours inside sRGB, so that clipping plays no part
    levels = np.array(list(itertools.product([90, 110, 140], repeat=3)), np.uint8)[None]
    profile = icc_profile(b"RGB ", ADOBE_RGB)
    if deep:
        deep_png(tmp_path / "a.png", levels.astype(np.uint16) * 257, chunk(b"iCCP", b"a\0\0" + zlib.compress(profile)))
    else:
        Image.fromarray(levels).save(tmp_path / "a.png", icc_profile=profile)
    expected = srgb_encode((levels / 255) ** 2.2 @ ADOBE_RGB.T @ np.linalg.inv(SRGB).T)
    assert np.abs(expected - levels / 255).max() > 0.04
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), expected, atol=1.5 / 255)


def test_a_profile_leaves_alpha_alone(tmp_path):
    rgba = np.dstack([BYTES, np.full_like(GREY, 128)])
    Image.fromarray(BYTES).save(tmp_path / "rgb.png", icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    Image.fromarray(rgba).save(tmp_path / "rgba.png", icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    alpha = 128 / 255
    expected = images.read(tmp_path / "rgb.png") * alpha + 0.5 * (1 - alpha)
    np.testing.assert_allclose(images.read(tmp_path / "rgba.png"), expected, atol=1e-6)


@pytest.mark.parametrize("deep", [False, True])
def test_a_grey_gamma_is_converted_to_srgb(tmp_path, deep):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = ramp.astype(np.uint16) * 257 if deep else ramp
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=icc_profile(b"GRAY", gamma=1.8))
    expected = np.broadcast_to(srgb_encode((ramp / 255) ** 1.8)[..., None], (16, 16, 3))
    assert np.abs(expected[..., 0] - ramp / 255).max() > 0.05
    np.testing.assert_allclose(images.read(tmp_path / "a.png"), expected, atol=1.5 / 255)


def test_grey_under_an_rgb_profile_is_neutral(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", icc_profile=icc_profile(b"RGB ", ADOBE_RGB))
    pixels = images.read(tmp_path / "a.png")
    assert np.ptp(pixels, axis=-1).max() <= 1.01 / 255
    np.testing.assert_allclose(pixels[..., 1], srgb_encode((GREY / 255) ** 2.2), atol=2.5 / 255)


def refusal(path):
    """What `read` says of a file that it must refuse, having said nothing else anywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as caught:
            images.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("profile", [b"not a profile", icc_profile(b"GRAY")])
def test_a_profile_that_cannot_apply_is_refused(tmp_path, profile):
    Image.fromarray(BYTES).save(tmp_path / "a.png", icc_profile=profile)
    assert "colour profile" in refusal(tmp_path / "a.png")


def test_cmyk_without_a_profile_is_refused(tmp_path):
    Image.fromarray(BYTES).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK without a colour profile" in refusal(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_several_pictures_in_a_file_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(BYTES, shift, axis=0)) for shift in (0, 5, 9)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert "3 pictures" in refusal(tmp_path / f"a.{suffix}")


def test_a_phone_picture_with_a_second_frame_is_its_first(tmp_path):
    first, second = (Image.fromarray(np.full((24, 36, 3), level, np.uint8)) for level in (51, 200))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    np.testing.assert_allclose(images.read(tmp_path / "a.jpg"), 0.2, atol=0.01)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_defined_white_are_refused(tmp_path, mode):
    Image.fromarray(GREY).convert(mode).save(tmp_path / "a.tiff")
    refusal(tmp_path / "a.tiff")


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "webp", "avif", "gif", "tiff", "bmp", "ppm", "jp2", "deep.png", "deep.tiff"]
)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_a_truncated_file_is_refused(tmp_path, capfd, suffix, share):
    path = tmp_path / f"a.{suffix}"
    if suffix == "deep.png":
        deep_png(path, DEEP[..., :3])
    elif suffix == "deep.tiff":
        deep_tiff(path, DEEP[..., :3])
    else:
        Image.fromarray(RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refusal(path)
    assert capfd.readouterr() == ("", "")


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    refusal(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png"):
        images.size(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert f"more than {images.MAX_PIXELS:,} pixels" in refusal(tmp_path / "a.png")
    with pytest.raises(ValueError, match="more than"):
        images.size(tmp_path / "a.png")


def test_a_header_that_claims_more_than_the_bytes_can_hold_is_refused(tmp_path):
    deep_png(tmp_path / "a.png", DEEP[..., :3])
    content = (tmp_path / "a.png").read_bytes()
    taller = chunk(b"IHDR", content[16:20] + struct.pack(">I", 4_000_000) + content[24:29])
    (tmp_path / "a.png").write_bytes(content[:8] + taller + content[33:])
    assert "more pixels than its bytes can hold" in refusal(tmp_path / "a.png")
    Image.new("1", (10000, 9000)).save(tmp_path / "black.png", optimize=True)  # as small as an honest one can be
    assert images.size(tmp_path / "black.png") == (9000, 10000)


def test_the_limit_holds_where_pillow_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "a.ppm").write_bytes(b"P5 20000 20000 255\n")
    assert f"more than {images.MAX_PIXELS:,} pixels" in refusal(tmp_path / "a.ppm")


def test_a_program_that_says_it_is_a_picture_is_not_run(tmp_path):
    program = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 36 24\n%%EndComments\n(run) print\n"
    (tmp_path / "a.png").write_text(program)
    assert "a drawing, which is not read" in refusal(tmp_path / "a.png")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "not a file" in refusal(tmp_path / "a.png")


def test_a_playlist_behind_a_deep_header_is_not_followed(tmp_path):
    """FFmpeg decodes deep files, and knows formats that name other files."""
    (tmp_path / "a.txt").write_text("ffconcat version 1.0\nfile b.png\n")
    with pytest.raises(av.error.FFmpegError):
        images._first_frame((tmp_path / "a.txt").read_bytes())


def test_the_limit_holds_for_the_decoder_of_deep_files_too(tmp_path, monkeypatch):
    """A file may be made so that Pillow and FFmpeg find different sizes in it."""
    deep_png(tmp_path / "a.png", DEEP[..., :3])
    monkeypatch.setattr(images, "MAX_PIXELS", 24 * 36 - 1)
    with pytest.raises(av.error.FFmpegError):
        images._first_frame((tmp_path / "a.png").read_bytes())


def test_a_large_photograph_is_read_without_a_warning(tmp_path, recwarn):
    Image.new("1", (10000, 9000), 1).save(tmp_path / "a.png")  # Pillow warns from 89 million pixels
    assert images.size(tmp_path / "a.png") == (9000, 10000)
    assert not recwarn


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        images.read(tmp_path / "missing.png")


def test_a_photograph_is_the_same_in_another_lossless_format(tmp_path):
    kodak = Path(__file__).parents[2] / "shared/data/kodak/kodim23.png"
    if not kodak.exists():
        pytest.skip("the shared data folder is not here")
    pixels = images.read(kodak)
    assert pixels.shape == (512, 768, 3)
    Image.open(kodak).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), pixels)
