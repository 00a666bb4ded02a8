"""Layouts of TIFF as cameras, scanners and editors write them, made here by hand: read exactly, or refused."""

import io
import itertools
import struct

import marks
import numpy as np
import pytest
from PIL import Image
from test_images import ADOBE_RGB, icc_profile, refusal, upright

from pim_jax.data import images, tiff

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 21, 35
CODES = {"raw": 1, "tiff_lzw": 5, "tiff_adobe_deflate": 8, "packbits": 32773, "lzma": 34925, "zstd": 50000}
COMMON, RARE = list(CODES)[:4], list(CODES)[4:]
WHITE_IS_0, BLACK_IS_0, RGB, PALETTE, CMYK, YCBCR, LAB, CFA = 0, 1, 2, 3, 5, 6, 8, 32803
ASSOCIATED, UNASSOCIATED = 1, 2


def samples(bits, count):
    return RNG.integers(0, 2**bits, (HEIGHT, WIDTH, count))


def packed(rows, bits, order):
    """Samples [rows, n] as bytes; each row starts a byte."""
    if bits in (8, 16, 32):
        return rows.astype(f"{order}u{bits // 8}").tobytes()
    digits = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def compressed(raw, compression):
    """Bytes as a strip, by Pillow from a grey picture of one row."""
    if compression == "raw":
        return raw
    file = io.BytesIO()
    Image.frombytes("L", (len(raw), 1), raw).save(file, "TIFF", compression=compression)
    with Image.open(file) as image:
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]
    return file.getvalue()[start : start + length]


def differences(block, bits):
    """Of each sample and the one to its left."""
    return np.diff(block, axis=1, prepend=0) % 2**bits


def write_tiff(
    path, pixels, bits, colours, *,
    order="<", tile=None, planar=False, compression="raw", predictor=1, rows=10, big=False, tags=None,
):  # fmt: skip
    """Writes samples [H, W, C] as strips of `rows`, or as tiles (height, width)."""
    height, width, count = pixels.shape
    block_height, block_width = tile or (rows, width)
    strips = []
    for plane in np.moveaxis(pixels, -1, 0)[..., None] if planar else [pixels]:
        for top, left in itertools.product(range(0, height, block_height), range(0, width, block_width)):
            block = plane[top : top + block_height, left : left + block_width]
            if tile:
                missing = block_height - block.shape[0], block_width - block.shape[1]
                block = np.pad(block, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            if predictor == 2:
                block = differences(block, bits)
            strips.append(compressed(packed(block.reshape(len(block), -1), bits, order), compression))
    offsets = np.cumsum([16 if big else 8, *map(len, strips)])[:-1].tolist()
    entries = {
        256: [width], 257: [height], 258: [bits] * count, 259: [CODES[compression]], 262: [colours], 277: [count],
        284: [2 if planar else 1], 317: [predictor],
    }  # fmt: skip
    if tile:
        entries |= {322: [block_width], 323: [block_height], 324: offsets, 325: [len(strip) for strip in strips]}
    else:
        entries |= {273: offsets, 278: [rows], 279: [len(strip) for strip in strips]}
    write_file(path, strips, [entries | (tags or {})], order, big)


def write_file(path, strips, pages, order="<", big=False):
    """A TIFF file of directories, each with numbers or bytes by tag; one under 330 is a directory of its own."""
    content = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42))
    content += struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)
    word, inline = ("Q", 8) if big else ("I", 4)
    for strip in strips:
        content += strip

    def add(tags):
        tags = {tag: [add(value)] if isinstance(value, dict) else value for tag, value in tags.items()}
        entries = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
        for tag, values in sorted(tags.items()):
            kind, size = (7, 1) if isinstance(values, bytes) else (4, 4)
            data = values if size == 1 else struct.pack(f"{order}{len(values)}I", *values)
            if len(data) > inline:
                at = len(content)
                content.extend(data)
                data = struct.pack(f"{order}{word}", at)
            entries += struct.pack(f"{order}HH{word}", tag, kind, len(values)) + data.ljust(inline, b"\0")
        at = len(content)
        content.extend(entries + bytes(inline))
        return at

    link = 8 if big else 4
    for page in pages:
        struct.pack_into(f"{order}{word}", content, link, add(page))
        link = len(content) - inline
    path.write_bytes(content)


def fractions(pixels, bits, colours=RGB):
    """What `images.read` must give for samples that are all colours."""
    values = pixels / (2**bits - 1)
    values = 1 - values if colours == WHITE_IS_0 else values
    return np.broadcast_to(values, (*values.shape[:2], 3))


def assert_read(path, expected):
    assert images.size(path) == expected.shape[:2]
    np.testing.assert_allclose(images.read(path), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("compression", [*COMMON, *marks.nightly(*RARE)])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_every_layout_is_read_to_the_last_bit(tmp_path, bits, compression):
    path = tmp_path / "a.tif"
    for order, tile, planar, (colours, count) in itertools.product(
        "<>", [None, (16, 16)], [False, True], [(WHITE_IS_0, 1), (BLACK_IS_0, 1), (RGB, 3)]
    ):
        pixels = samples(bits, count)
        write_tiff(path, pixels, bits, colours, order=order, tile=tile, planar=planar, compression=compression)
        assert_read(path, fractions(pixels, bits, colours))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", *marks.nightly(*RARE)])
@pytest.mark.parametrize("bits", [8, 16])
def test_horizontal_differences_are_added_up(tmp_path, bits, compression):
    path = tmp_path / "a.tif"
    for order, tile, planar, count in itertools.product("<>", [None, (16, 16)], [False, True], [1, 3]):
        pixels = samples(bits, count)
        write_tiff(
            path, pixels, bits, RGB if count == 3 else BLACK_IS_0,
            order=order, tile=tile, planar=planar, compression=compression, predictor=2,
        )  # fmt: skip
        assert_read(path, fractions(pixels, bits))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_bigtiff_is_read(tmp_path, order, tile):
    pixels = samples(16, 3)
    write_tiff(tmp_path / "a.tif", pixels, 16, RGB, order=order, tile=tile, big=True)
    assert_read(tmp_path / "a.tif", fractions(pixels, 16))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize(("tile", "rows"), [(None, 10), (None, HEIGHT), (None, 2**32 - 1), ((16, 16), None)])
@pytest.mark.parametrize("planar", [False, True])
def test_a_picture_larger_than_what_is_decoded_at_once_is_whole(
    tmp_path, monkeypatch, compression, tile, rows, planar
):  # fmt: skip
    pixels = np.concatenate([samples(16, 3)] * 5)
    tags = {} if tile else {278: [rows]}
    rows = min(rows or HEIGHT, len(pixels)) if rows != HEIGHT else len(pixels)
    options = {"tile": tile, "planar": planar, "compression": compression, "rows": rows}
    if rows == len(pixels):
        tags = tags and {278: [2**32 - 1]}  # as writers say that there is one strip
    write_tiff(tmp_path / "a.tif", pixels, 16, RGB, tags=tags, **options)
    monkeypatch.setattr(tiff, "_SAMPLES_AT_ONCE", 2000)
    assert_read(tmp_path / "a.tif", fractions(pixels, 16))


def test_one_long_strip_may_be_larger_than_pillow_decodes(tmp_path, monkeypatch):
    pixels = np.concatenate([samples(16, 3)] * 12)
    write_tiff(tmp_path / "a.tif", pixels, 16, RGB, rows=len(pixels))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels.size // 4)
    monkeypatch.setattr(tiff, "_SAMPLES_AT_ONCE", pixels.size // 4)
    assert_read(tmp_path / "a.tif", fractions(pixels, 16))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colours", "channels"), [(BLACK_IS_0, 1), (RGB, 3)])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    "extra", [[UNASSOCIATED], [ASSOCIATED], [0], [0, UNASSOCIATED], [UNASSOCIATED, 0], [999], [0, 0, 0]]
)
def test_extra_samples_are_what_the_file_says_they_are(tmp_path, bits, colours, channels, planar, extra):
    pixels = samples(bits, channels + len(extra))
    alpha = next((pixels[..., channels + number, None] for number, kind in enumerate(extra) if kind), None)
    stored = pixels[..., :channels]
    if extra == [ASSOCIATED]:
        stored = pixels[..., :channels] = np.minimum(stored, alpha)
    write_tiff(tmp_path / "a.tif", pixels, bits, colours, planar=planar, tags={338: extra})
    expected = stored / (2**bits - 1)
    if alpha is not None:
        opacity = alpha / (2**bits - 1)
        expected = (expected if extra == [ASSOCIATED] else expected * opacity) + 0.5 * (1 - opacity)
    assert_read(tmp_path / "a.tif", np.broadcast_to(expected, (HEIGHT, WIDTH, 3)))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fourth_sample_without_a_word_is_alpha_unless_it_was_never_filled(tmp_path, bits):
    """As OpenCV writes RGBA."""
    pixels = samples(bits, 4)
    write_tiff(tmp_path / "a.tif", pixels, bits, RGB)
    values = pixels / (2**bits - 1)
    assert_read(tmp_path / "a.tif", values[..., :3] * values[..., 3:] + 0.5 * (1 - values[..., 3:]))
    pixels[..., 3] = 0
    write_tiff(tmp_path / "a.tif", pixels, bits, RGB)
    assert_read(tmp_path / "a.tif", fractions(pixels[..., :3], bits))


@pytest.mark.parametrize("bits", [8, 16])
def test_the_tag_before_extra_samples_says_that_colours_are_multiplied(tmp_path, bits):
    """Matteing, of old renderers."""
    pixels = samples(bits, 4)
    write_tiff(tmp_path / "a.tif", pixels, bits, RGB, tags={338: [ASSOCIATED]})
    write_tiff(tmp_path / "b.tif", pixels, bits, RGB, tags={32995: [1]})
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), images.read(tmp_path / "b.tif"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
@pytest.mark.parametrize(("colours", "count"), [(WHITE_IS_0, 1), (BLACK_IS_0, 1), (RGB, 3)])
def test_orientation_is_applied_at_every_depth(tmp_path, orientation, bits, colours, count):
    pixels = samples(bits, count)
    expected = upright(np.broadcast_to(pixels, (HEIGHT, WIDTH, 3)).astype(np.uint16), orientation)
    for tile, planar, rows in [(None, False, HEIGHT), ((16, 16), True, 10)]:
        tags = {274: [orientation]}
        write_tiff(tmp_path / "a.tif", pixels, bits, colours, tile=tile, planar=planar, rows=rows, tags=tags)
        assert_read(tmp_path / "a.tif", fractions(expected, bits, colours))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("mode", "compression"), [("1", "group3"), ("1", "group4"), ("L", "jpeg"), ("RGB", "jpeg")])
def test_orientation_is_applied_to_what_pillow_reads(tmp_path, orientation, mode, compression):
    image = Image.fromarray(samples(8, 3).astype(np.uint8)).resize((530, 370)).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    plain = np.round(images.read(tmp_path / "a.tif") * 255).astype(np.uint8)
    assert np.abs(plain - np.asarray(image.convert("RGB"), int)).mean() < (1 if mode == "1" else 10)
    image.save(tmp_path / "a.tif", compression=compression, tiffinfo={274: orientation})
    assert_read(tmp_path / "a.tif", upright(plain, orientation) / 255)


@pytest.mark.parametrize("compression", ["group3", "group4"])
@pytest.mark.parametrize("white", [WHITE_IS_0, BLACK_IS_0])
@pytest.mark.parametrize("fill_order", [1, 2])
@pytest.mark.parametrize("order", "<>")
def test_fax_is_read_in_either_order_of_bits(tmp_path, compression, white, fill_order, order):
    pixels = samples(1, 1)
    Image.fromarray(pixels[..., 0] == 1).save(tmp_path / "a.tif", compression=compression)
    with Image.open(tmp_path / "a.tif") as image:
        tags = {tag: list(np.atleast_1d(image.tag_v2[tag])) for tag in (256, 257, 258, 259, 278, 279)}
        colours, offsets = image.tag_v2[262], image.tag_v2[273]
    content = (tmp_path / "a.tif").read_bytes()
    strips = [content[offset : offset + length] for offset, length in zip(offsets, tags[279], strict=True)]
    if fill_order == 2:
        strips = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip) for strip in strips]
    tags |= {262: [white], 266: [fill_order], 273: np.cumsum([8, *map(len, strips)])[:-1].tolist()}
    write_file(tmp_path / "a.tif", strips, [tags], order)
    assert_read(tmp_path / "a.tif", fractions(pixels if white == colours else 1 - pixels, 1))


def test_alpha_is_turned_with_the_colours(tmp_path):
    pixels = samples(16, 4)
    write_tiff(tmp_path / "a.tif", pixels, 16, RGB, tags={338: [ASSOCIATED], 274: [6]})
    write_tiff(tmp_path / "b.tif", pixels[::-1].swapaxes(0, 1), 16, RGB, tags={338: [ASSOCIATED]})
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), images.read(tmp_path / "b.tif"))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("factor", [1, 256, 257])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_palette_may_fill_its_upper_or_its_lower_bits(tmp_path, bits, factor, tile):
    pixels, palette = samples(bits, 1), RNG.integers(0, 256, (3, 2**bits))
    tags = {320: (palette * factor).ravel().tolist()}
    write_tiff(tmp_path / "a.tif", pixels, bits, PALETTE, tile=tile, tags=tags)
    assert_read(tmp_path / "a.tif", palette.T[pixels[..., 0]] / 255)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
def test_a_profile_is_applied_to_colours_without_their_alpha(tmp_path, bits, planar):
    colours = RNG.integers(90, 141, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    profile = icc_profile(b"RGB ", ADOBE_RGB)
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=profile)
    scale = 257 if bits == 16 else 1
    pixels = np.dstack([colours, np.full((HEIGHT, WIDTH), 255)]) * scale
    write_tiff(tmp_path / "a.tif", pixels, bits, RGB, planar=planar, tags={338: [ASSOCIATED], 34675: profile})
    assert_read(tmp_path / "a.tif", images.read(tmp_path / "a.png"))


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_needs_a_profile(tmp_path, bits):
    write_tiff(tmp_path / "a.tif", samples(bits, 4), bits, CMYK, planar=True)
    assert "CMYK without a colour profile" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("colours", "count", "bits", "tags", "reason"),
    [
        (RGB, 3, 16, {339: [2, 2, 2]}, "samples are signed"),
        (BLACK_IS_0, 1, 8, {339: [2]}, "samples are signed"),
        (RGB, 3, 16, {339: [3, 3, 3]}, "floating-point"),
        (BLACK_IS_0, 1, 32, {339: [3]}, "floating-point"),
        (RGB, 3, 32, {}, "3 samples of 32 bits"),
        (RGB, 3, 16, {339: [1, 1, 2]}, "differ in kind"),
        (RGB, 3, 16, {258: [16, 16, 8]}, "differ in kind"),
        (RGB, 3, 16, {258: [16, 16]}, "differ in kind"),
        (RGB, 3, 10, {}, "of 10 bits"),
        (RGB, 3, 14, {}, "of 14 bits"),
        (RGB, 5, 16, {}, "5 samples per pixel"),
        (RGB, 4, 16, {338: [2, 2]}, "4 samples per pixel"),
        (RGB, 4, 16, {338: [7]}, "4 samples per pixel"),
        (BLACK_IS_0, 2, 8, {}, "2 samples per pixel"),
        (CMYK, 5, 8, {338: [1]}, "multiplied by alpha"),
        (CMYK, 4, 8, {332: [2]}, "layout is not read"),
        (YCBCR, 3, 8, {}, "layout is not read"),
        (LAB, 3, 8, {}, "kind of colours"),
        (CFA, 1, 16, {}, "camera's raw file"),
        (34892, 3, 16, {}, "camera's raw file"),
        (RGB, 3, 8, {50706: b"\1\4\0\0"}, "camera's raw file"),
        (RGB, 3, 8, {254: [1]}, "preview of another"),
        (RGB, 3, 8, {259: [6]}, "Compression 6"),
        (RGB, 3, 8, {259: [34712]}, "Compression 34712"),
        (BLACK_IS_0, 1, 8, {259: [4]}, "Compression 4"),
        (RGB, 3, 8, {317: [2]}, "Predictor 2"),
        (RGB, 3, 16, {317: [3]}, "Predictor 3"),
        (RGB, 3, 8, {266: [2]}, "FillOrder 2"),
        (RGB, 3, 8, {284: [3]}, "PlanarConfiguration 3"),
        (RGB, 3, 8, {277: [17], 258: [8] * 17}, "17 samples"),
        (RGB, 3, 8, {256: [0]}, "0 x 21 pixels"),
        (RGB, 3, 8, {257: b"ab"}, "tag 257"),
        (PALETTE, 1, 8, {320: [0] * 48}, "palette has 48 values"),
        (PALETTE, 1, 8, {}, "palette has 0 values"),
        (RGB, 3, 8, {273: [8], 279: [3 * WIDTH * 10]}, "1 of 3 strips"),
    ],
)
def test_what_no_decoder_is_trusted_with_is_refused(tmp_path, colours, count, bits, tags, reason):
    write_tiff(tmp_path / "a.tif", samples(bits, count), bits, colours, tags=tags)
    assert reason in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("size", "side", "reason"),
    [((21, 35), 2**17, "tiles of"), ((2**15, 2**15), 16, "more than"), ((21, 35), 0, "tiles of")],
)
def test_a_file_that_claims_more_than_it_has_is_refused(tmp_path, size, side, reason):
    tags = {256: [size[1]], 257: [size[0]], 322: [side], 323: [side]}
    write_tiff(tmp_path / "a.tif", samples(8, 3), 8, RGB, tile=(16, 16), tags=tags)
    assert reason in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [*COMMON, *marks.nightly(*RARE)])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_strip_that_is_cut_short_is_refused(tmp_path, capfd, compression, tile):
    write_tiff(tmp_path / "a.tif", samples(16, 3), 16, RGB, tile=tile, compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    with Image.open(tmp_path / "a.tif") as image:
        offsets, lengths = (image.tag_v2[tag] for tag in ((324, 325) if tile else (273, 279)))
    for number in range(len(offsets)):
        # What is not compressed is as long as its pixels, whatever is said; so it may only be beyond the end.
        values, shorter = (offsets, len(content) - 5) if compression == "raw" else (lengths, lengths[number] // 2)
        place = content.index(struct.pack(f"<{len(values)}I", *values)) + 4 * number
        (tmp_path / "a.tif").write_bytes(content[:place] + struct.pack("<I", shorter) + content[place + 4 :])
        refusal(tmp_path / "a.tif")
    assert compression != "raw" or capfd.readouterr() == ("", "")  # libtiff says something of what it unpacks


def page(path, **tags):
    """The directory of a small RGB picture, with more tags; writes its strips to `path`."""
    write_tiff(path, samples(8, 3), 8, RGB)
    with Image.open(path) as image:
        numbers = {tag: image.tag_v2[tag] for tag in (256, 257, 258, 259, 262, 273, 277, 278, 279, 284)}
    values = {tag: list(value) if isinstance(value, tuple) else [value] for tag, value in numbers.items()}
    return values | {int(tag.removeprefix("_")): value for tag, value in tags.items()}


@pytest.mark.parametrize("big", [False, True])
def test_smaller_copies_behind_a_picture_do_not_count(tmp_path, big):
    path = tmp_path / "a.tif"
    directory = page(path)
    strips = [bytes(8) * big + path.read_bytes()[8:]]  # where the directory's offsets say
    if big:
        directory[273] = [offset + 16 for offset in directory[273]]
    write_file(path, strips, [directory], big=big)
    alone = images.read(path)
    write_file(path, strips, [directory | {330: directory | {254: [1]}}, directory | {254: [1]}], big=big)
    np.testing.assert_array_equal(images.read(path), alone)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {}, "2 pictures"),
        ({"_254": [1]}, {}, "preview"),
        ({}, {"_254": [4]}, "2 pictures"),
        ({}, {"_254": [2]}, "2 pic"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_several_pictures_in_chain_or_nested_are_refused(tmp_path, first, second, reason, nested):
    """A transparency mask of its own (4) is a picture too."""
    path = tmp_path / "a.tif"
    outer, inner = page(path, **first), page(path, **second)
    strips = [path.read_bytes()[8:]]
    write_file(path, strips, [outer | {330: inner}] if nested else [outer, inner])
    assert reason in refusal(path)
    with pytest.raises(ValueError, match=reason):
        images.size(path)


def test_a_ring_of_directories_ends(tmp_path):
    path = tmp_path / "a.tif"
    directory = page(path)
    strips = [path.read_bytes()[8:]]
    write_file(path, strips, [directory])
    content = bytearray(path.read_bytes())
    content[-4:] = content[4:8]
    path.write_bytes(content)
    assert images.size(path) == (HEIGHT, WIDTH)


def test_a_canon_raw_file_is_not_taken_for_its_preview(tmp_path):
    write_tiff(tmp_path / "a.tif", samples(8, 3), 8, RGB)
    content = bytearray(tmp_path.joinpath("a.tif").read_bytes())
    content[8:10] = b"CR"
    (tmp_path / "a.tif").write_bytes(content)
    assert "camera's raw file" in refusal(tmp_path / "a.tif")


def test_a_directory_that_is_cut_short_is_refused(tmp_path):
    """Pillow goes on with the tags that are left, and reads other pixels."""
    write_tiff(tmp_path / "a.tif", samples(8, 1), 8, BLACK_IS_0)
    content = (tmp_path / "a.tif").read_bytes()
    for missing in (1, 4, 5, 17, 40):
        (tmp_path / "a.tif").write_bytes(content[:-missing])
        refusal(tmp_path / "a.tif")
